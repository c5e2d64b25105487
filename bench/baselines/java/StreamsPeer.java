import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/**
 * Kafka Streams with one thread: BROKERS TOPIC EVENTS FOLDER APPLICATION GUARANTEE [restore]. `restore`: the state of an application that ran
 * before, from its changelog, with an empty folder.
 */
class StreamsPeer {
  public static void main(String[] args) throws Exception {
    long events = Long.parseLong(args[2]);
    boolean isRestore = args.length > 6;
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("state.dir", args[3]);
    settings.put("application.id", args[4]);
    settings.put("processing.guarantee", args[5]);
    settings.put("num.stream.threads", "1");
    settings.put("auto.offset.reset", "earliest");
    settings.put("replication.factor", "1");
    settings.put("consumer.session.timeout.ms", "6000");
    settings.put("consumer.max.poll.records", "5000");
    Orders.Clock clock = new Orders.Clock();
    AtomicLong applied = new AtomicLong();
    CountDownLatch done = new CountDownLatch(1);
    Serde<Orders.Order> serde = Serdes.serdeFrom((topic, order) -> order.bytes(), (topic, bytes) -> bytes == null ? null : Orders.Order.of(bytes));
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(args[1], Consumed.with(Serdes.String(), Serdes.ByteArray())).groupByKey().aggregate(Orders.Order::new, (key, value, order) -> {
      clock.first();
      order.apply(value);
      if (applied.incrementAndGet() == events) done.countDown();
      return order;
    }, Materialized.<String, Orders.Order, KeyValueStore<Bytes, byte[]>>as("orders").withKeySerde(Serdes.String()).withValueSerde(serde));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    AtomicLong restored = new AtomicLong();
    CountDownLatch running = new CountDownLatch(1);
    streams.setGlobalStateRestoreListener(new StateRestoreListener() {
      public void onRestoreStart(TopicPartition partition, String store, long from, long to) { clock.first(); }

      public void onBatchRestored(TopicPartition partition, String store, long end, long count) { }

      public void onRestoreEnd(TopicPartition partition, String store, long count) { restored.addAndGet(count); }
    });
    streams.setStateListener((now, before) -> { if (now == KafkaStreams.State.RUNNING) running.countDown(); });
    streams.start();
    if (isRestore) running.await();
    else done.await();
    double readNs = clock.wallNs();
    double readCpu = clock.cpu();
    long[] check = new long[3];
    try (KeyValueIterator<String, Orders.Order> all = streams.store(
        StoreQueryParameters.fromNameAndType("orders", QueryableStoreTypes.<String, Orders.Order>keyValueStore())).all()) {
      while (all.hasNext()) {
        KeyValue<String, Orders.Order> entry = all.next();
        check[0]++;
        check[1] += entry.value.changes;
        check[2] += entry.value.totalCents;
      }
    }
    // What is not committed yet is written now, as by our seal; the look at the state is not counted.
    double lookedNs = clock.wallNs();
    double lookedCpu = clock.cpu();
    streams.close();
    clock.tell(isRestore ? restored.get() : applied.get(), readNs + clock.wallNs() - lookedNs, readCpu + clock.cpu() - lookedCpu, check);
  }
}
