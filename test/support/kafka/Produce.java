import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** What only the Java client writes: java -cp JARS Produce.java BROKERS TOPIC COUNT CODEC… writes COUNT records per codec to partition 0. */
class Produce {
  public static void main(String[] args) {
    int count = Integer.parseInt(args[2]);
    for (int i = 3; i < args.length; i++) {
      Properties settings = new Properties();
      settings.put("bootstrap.servers", args[0]);
      settings.put("compression.type", args[i]);
      settings.put("linger.ms", "50");
      settings.put("batch.size", "65536");
      settings.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
      settings.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
      try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
        for (int n = 0; n < count; n++) {
          String data = "{\"n\":" + n + ",\"codec\":\"" + args[i] + "\",\"text\":\"" + "x".repeat(n % 200) + "\"}";
          producer.send(new ProducerRecord<>(args[1], 0, "k" + n % 10, "{\"type\":\"Written\",\"data\":" + data + "}"));
        }
      }
    }
  }
}
