/** What a broker on this machine is started with. Texts, and not files, because they go where the compiled code goes. */

/** The jars of one Apache Kafka: mvn -Dkafka.version=3.9.1 dependency:copy-dependencies */
export const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>\${kafka.version}</version></dependency>
  </dependencies>
  <profiles>
    <profile>
      <id>kafka-3.9</id>
      <activation><property><name>kafka.version</name><value>3.9.1</value></property></activation>
      <dependencies>
        <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
      </dependencies>
    </profile>
  </profiles>
</project>
`

export const LOG4J = `log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c %m%n
`

/** One node, broker and controller. What stands between @ is filled in by the keeper; lines that come behind these win. */
export const SERVER = `process.roles=broker,controller
node.id=@ID@
listeners=PLAINTEXT://127.0.0.1:@PLAINTEXT@,CONTROLLER://127.0.0.1:@CONTROLLER@
advertised.listeners=PLAINTEXT://127.0.0.1:@PLAINTEXT@
controller.listener.names=CONTROLLER
controller.quorum.voters=@VOTERS@
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=@FOLDER@/data-@ID@
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=200
log.cleaner.min.cleanable.ratio=0.01
log.cleaner.dedupe.buffer.size=2097152
# Records may be older than a week; where retention is the subject, the topic says so.
log.retention.ms=-1
log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
# A killed broker is let in again when its old registration has run out.
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
`
