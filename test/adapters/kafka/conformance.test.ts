import { afterAll, beforeAll, describe, test } from 'vitest'
import { sourceCases } from '../../../src/conformance/sources.js'
import { canHaveKafka, kafkaBroker, type TestBroker } from '../../support/kafka.js'
import { topicHarness } from './topic-log.js'

describe.skipIf(!canHaveKafka('the Kafka source under the conformance kit'))('the Kafka source, on a real broker', () => {
  let broker: TestBroker
  beforeAll(async () => { broker = await kafkaBroker() }, 180_000)
  afterAll(() => broker?.dispose())

  for (const { name: law, run } of sourceCases(topicHarness(() => broker))) test(law, run)
})
