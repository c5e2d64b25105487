import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** The fold that all trials of the bench do, as bench/fold.ts states it, and what they tell. */
final class Orders {
  static final ObjectMapper JSON = new ObjectMapper();

  static final class Order {
    long changes, totalCents, items, lastAtMs;
    String status = "", customerId = "";

    void apply(byte[] value) {
      try {
        JsonNode event = JSON.readTree(value);
        JsonNode data = event.get("data");
        changes++;
        totalCents += data.get("amountCents").asLong();
        items += data.get("items").asLong();
        status = data.get("status").asText();
        customerId = data.get("customerId").asText();
        lastAtMs = event.get("recordedAt").asLong();
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
    }

    byte[] bytes() {
      byte[] texts = (status + "\n" + customerId).getBytes(StandardCharsets.UTF_8);
      return ByteBuffer.allocate(32 + texts.length)
        .putLong(changes).putLong(totalCents).putLong(items).putLong(lastAtMs).put(texts).array();
    }

    static Order of(byte[] bytes) {
      Order order = new Order();
      if (bytes == null) return order;
      ByteBuffer buffer = ByteBuffer.wrap(bytes);
      order.changes = buffer.getLong();
      order.totalCents = buffer.getLong();
      order.items = buffer.getLong();
      order.lastAtMs = buffer.getLong();
      String[] texts = new String(bytes, 32, bytes.length - 32, StandardCharsets.UTF_8).split("\n", 2);
      order.status = texts[0];
      order.customerId = texts[1];
      return order;
    }
  }

  /** Seconds of CPU that this process took, of all threads: the compiler's and the collector's too. */
  static double cpuSeconds() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
  }

  /** From the first event to the end. */
  static final class Clock {
    private final long startedNs = System.nanoTime();
    private long firstNs;
    private double firstCpu;

    synchronized void first() {
      if (firstNs != 0) return;
      firstNs = System.nanoTime();
      firstCpu = cpuSeconds();
    }

    /** The one line that the bench reads; `check`: keys, changes, totalCents. */
    void tell(long events, double wallNs, double cpu, long[] check) throws IOException {
      System.out.printf(
        "{\"events\":%d,\"wallMs\":%.1f,\"cpuMs\":%.1f,\"firstMs\":%.1f,\"maxRssBytes\":%d,\"check\":{\"keys\":%d,\"changes\":%d,\"totalCents\":%d}}%n",
        events, wallNs / 1e6, cpu * 1e3, (firstNs - startedNs) / 1e6, maxRssBytes(), check[0], check[1], check[2]);
    }

    double wallNs() { return System.nanoTime() - firstNs; }

    double cpu() { return cpuSeconds() - firstCpu; }
  }

  private static long maxRssBytes() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
    }
    return 0;
  }
}
