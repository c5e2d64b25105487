import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The state hash, version 1, on Java's standard library alone. Reads and prints what reference.py does. */
public class Reference {
  static final int CAPACITY = 16;
  static final int MAX_DEPTH = 64;
  static final BigInteger UNSIGNED_64 = BigInteger.ONE.shiftLeft(64);
  static final BigInteger SIGNED_64 = BigInteger.ONE.shiftLeft(63);

  public static void main(String[] arguments) throws Exception {
    byte[] input = arguments.length > 0 ? Files.readAllBytes(Path.of(arguments[0])) : System.in.readAllBytes();
    var collections = new TreeMap<byte[], TreeMap<byte[], byte[]>>(Arrays::compareUnsigned);
    for (String line : new String(input, StandardCharsets.UTF_8).split("\n")) {
      if (line.isEmpty()) continue;
      var record = (Map<?, ?>) new Json(line).read();
      var name = record.containsKey("collection") ? (String) record.get("collection") : "default";
      var entries = collections.computeIfAbsent(utf8(name), absent -> new TreeMap<>(Arrays::compareUnsigned));
      var value = new ByteArrayOutputStream();
      encode(new DataOutputStream(value), record.get("value"), 0);
      byte[] keyHash = sha256(2, utf8((String) record.get("key")));
      if (entries.put(keyHash, sha256(0, value.toByteArray())) != null) throw new IOException("a key comes twice: " + record.get("key"));
    }
    var state = new ByteArrayOutputStream();
    var report = new StringBuilder();
    for (var collection : collections.entrySet()) {
      byte[] name = collection.getKey();
      var entries = List.copyOf(collection.getValue().entrySet());
      byte[] count = ByteBuffer.allocate(8).putLong(entries.size()).array();
      byte[] root = sha256(4, new byte[] {1, 0x12, 1, CAPACITY}, count, trie(entries, 0));
      state.write(ByteBuffer.allocate(4).putInt(name.length).array());
      state.write(name);
      state.write(root);
      report.append("collection ").append(quoted(new String(name, StandardCharsets.UTF_8))).append(' ').append(entries.size())
          .append(" sh1:").append(HexFormat.of().formatHex(root)).append('\n');
    }
    var out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    out.print("root sh1:" + HexFormat.of().formatHex(sha256(5, state.toByteArray())) + "\n" + report);
    out.flush();
  }

  static String quoted(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }

  static byte[] sha256(int tag, byte[]... parts) throws Exception {
    var digest = MessageDigest.getInstance("SHA-256");
    digest.update((byte) tag);
    for (byte[] part : parts) digest.update(part);
    return digest.digest();
  }

  /** Refuses lone surrogates, which String.getBytes would replace. */
  static byte[] utf8(String text) throws IOException {
    var bytes = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
    return Arrays.copyOf(bytes.array(), bytes.limit());
  }

  /** Rule 3; entries ascend by key hash. */
  static byte[] trie(List<Map.Entry<byte[], byte[]>> entries, int depth) throws Exception {
    if (entries.size() <= CAPACITY) {
      var bucket = new ByteArrayOutputStream();
      for (var entry : entries) {
        bucket.write(entry.getKey());
        bucket.write(entry.getValue());
      }
      return sha256(3, bucket.toByteArray());
    }
    int middle = 0;
    while (middle < entries.size() && (entries.get(middle).getKey()[depth >> 3] >> (7 - (depth & 7)) & 1) == 0) middle++;
    return sha256(1, trie(entries.subList(0, middle), depth + 1), trie(entries.subList(middle, entries.size()), depth + 1));
  }

  /** Canonical MessagePack. */
  static void encode(DataOutputStream out, Object value, int depth) throws IOException {
    if (value == null) out.write(0xc0);
    else if (value instanceof Boolean flag) out.write(flag ? 0xc3 : 0xc2);
    else if (value instanceof BigInteger integer) encodeInteger(out, integer);
    else if (value instanceof Double number) {
      if (number == Math.rint(number) && Math.abs(number) <= 0x1p53 - 1) encodeInteger(out, BigInteger.valueOf(number.longValue()));
      else {
        out.write(0xcb);
        out.writeDouble(number);
      }
    } else if (value instanceof String text) {
      byte[] bytes = utf8(text);
      header(out, bytes.length, 0xa0, 32, 0xd9, 0xda, 0xdb);
      out.write(bytes);
    } else if (depth >= MAX_DEPTH) throw new IOException("too deep");
    else if (value instanceof List<?> list) {
      header(out, list.size(), 0x90, 16, 0, 0xdc, 0xdd);
      for (Object item : list) encode(out, item, depth + 1);
    } else {
      var names = new TreeMap<byte[], Object>((a, b) -> a.length != b.length ? a.length - b.length : Arrays.compareUnsigned(a, b));
      for (var entry : ((Map<?, ?>) value).entrySet()) names.put(utf8((String) entry.getKey()), entry.getValue());
      header(out, names.size(), 0x80, 16, 0, 0xde, 0xdf);
      for (var entry : names.entrySet()) {
        header(out, entry.getKey().length, 0xa0, 32, 0xd9, 0xda, 0xdb);
        out.write(entry.getKey());
        encode(out, entry.getValue(), depth + 1);
      }
    }
  }

  static void encodeInteger(DataOutputStream out, BigInteger value) throws IOException {
    if (value.compareTo(SIGNED_64.negate()) < 0 || value.compareTo(UNSIGNED_64) >= 0) throw new IOException("more than 64 bits");
    long bits = value.longValue();
    boolean negative = value.signum() < 0;
    int length = negative ? value.bitLength() + 1 : value.bitLength();
    if (negative ? bits >= -32 : length <= 7) out.write((int) bits);
    else if (length <= 8) out.write(new byte[] {(byte) (negative ? 0xd0 : 0xcc), (byte) bits});
    else if (length <= 16) {
      out.write(negative ? 0xd1 : 0xcd);
      out.writeShort((int) bits);
    } else if (length <= 32) {
      out.write(negative ? 0xd2 : 0xce);
      out.writeInt((int) bits);
    } else {
      out.write(negative ? 0xd3 : 0xcf);
      out.writeLong(bits);
    }
  }

  static void header(DataOutputStream out, int count, int fixed, int limit, int token8, int token16, int token32) throws IOException {
    if (count < limit) out.write(fixed | count);
    else if (count < 0x100 && token8 != 0) out.write(new byte[] {(byte) token8, (byte) count});
    else if (count < 0x10000) {
      out.write(token16);
      out.writeShort(count);
    } else {
      out.write(token32);
      out.writeInt(count);
    }
  }

  /** Reads one well-formed JSON text. Digits alone are a BigInteger, other numbers a Double. */
  static final class Json {
    private final String text;
    private int at = 0;

    Json(String text) {
      this.text = text;
    }

    Object read() throws IOException {
      switch (peek()) {
        case '{': return object();
        case '[': return array();
        case '"': return string();
        case 't': at += 4; return true;
        case 'f': at += 5; return false;
        case 'n': at += 4; return null;
        default: return number();
      }
    }

    private Map<String, Object> object() throws IOException {
      var object = new HashMap<String, Object>();
      for (at++; peek() != '}'; comma()) {
        String name = string();
        peek();
        at++;
        object.put(name, read());
      }
      at++;
      return object;
    }

    private List<Object> array() throws IOException {
      var array = new ArrayList<Object>();
      for (at++; peek() != ']'; comma()) array.add(read());
      at++;
      return array;
    }

    private String string() {
      var string = new StringBuilder();
      for (at++; text.charAt(at) != '"'; at++) {
        char unit = text.charAt(at);
        if (unit != '\\') {
          string.append(unit);
          continue;
        }
        char escape = text.charAt(++at);
        switch (escape) {
          case 'b': string.append('\b'); break;
          case 'f': string.append('\f'); break;
          case 'n': string.append('\n'); break;
          case 'r': string.append('\r'); break;
          case 't': string.append('\t'); break;
          case 'u':
            string.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
            at += 4;
            break;
          default: string.append(escape);
        }
      }
      at++;
      return string.toString();
    }

    private Object number() throws IOException {
      int from = at;
      while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) at++;
      String token = text.substring(from, at);
      if (token.matches("-?[0-9]+")) return new BigInteger(token);
      double value = Double.parseDouble(token);
      if (Double.isInfinite(value)) throw new IOException("too great for a double: " + token);
      return value;
    }

    private void comma() {
      if (peek() == ',') at++;
    }

    private char peek() {
      while (" \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
      return text.charAt(at);
    }
  }
}
