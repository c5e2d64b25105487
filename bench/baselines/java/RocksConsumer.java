import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.rocksdb.FlushOptions;
import org.rocksdb.Options;
import org.rocksdb.RocksDB;
import org.rocksdb.RocksIterator;
import org.rocksdb.WriteBatch;
import org.rocksdb.WriteOptions;

/** A plain consumer: BROKERS TOPIC EVENTS FOLDER. Each poll is one write batch with the positions in it. */
class RocksConsumer {
  public static void main(String[] args) throws Exception {
    long events = Long.parseLong(args[2]);
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    settings.put("value.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
    settings.put("max.poll.records", "5000");
    settings.put("enable.auto.commit", "false");
    settings.put("auto.offset.reset", "none");
    Orders.Clock clock = new Orders.Clock();
    RocksDB.loadLibrary();
    try (RocksDB store = RocksDB.open(new Options().setCreateIfMissing(true).setWriteBufferSize(64 << 20), args[3] + "/state");
        WriteOptions writing = new WriteOptions();
        KafkaConsumer<String, byte[]> consumer = new KafkaConsumer<>(settings)) {
      List<TopicPartition> partitions = consumer.partitionsFor(args[1]).stream().map((one) -> new TopicPartition(args[1], one.partition())).toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      long applied = 0;
      Map<String, Orders.Order> changed = new HashMap<>();
      while (applied < events) {
        ConsumerRecords<String, byte[]> records = consumer.poll(Duration.ofMillis(500));
        if (records.isEmpty()) continue;
        clock.first();
        changed.clear();
        for (ConsumerRecord<String, byte[]> record : records) {
          Orders.Order order = changed.get(record.key());
          if (order == null) changed.put(record.key(), order = Orders.Order.of(store.get(record.key().getBytes(StandardCharsets.UTF_8))));
          order.apply(record.value());
          applied++;
        }
        try (WriteBatch batch = new WriteBatch()) {
          for (Map.Entry<String, Orders.Order> entry : changed.entrySet()) {
            batch.put(entry.getKey().getBytes(StandardCharsets.UTF_8), entry.getValue().bytes());
          }
          for (TopicPartition partition : partitions) {
            batch.put(("!" + partition.partition()).getBytes(), ByteBuffer.allocate(8).putLong(consumer.position(partition)).array());
          }
          store.write(writing, batch);
        }
      }
      store.flush(new FlushOptions().setWaitForFlush(true));
      double wallNs = clock.wallNs();
      double cpu = clock.cpu();
      long[] check = new long[3];
      try (RocksIterator all = store.newIterator()) {
        for (all.seekToFirst(); all.isValid(); all.next()) {
          if (all.key()[0] == '!') continue;
          Orders.Order order = Orders.Order.of(all.value());
          check[0]++;
          check[1] += order.changes;
          check[2] += order.totalCents;
        }
      }
      clock.tell(applied, wallNs, cpu, check);
    }
  }
}
