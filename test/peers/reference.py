"""The state hash, version 1, on Python's standard library alone.

Reads NDJSON lines {"collection"?, "key", "value"} from the file named, or from standard input, and prints

    root sh1:<hex>
    collection <name as JSON> <live keys> sh1:<hex>     (one line each, by UTF-8 bytes of the name)

A number without fraction and exponent is an exact integer of 64 bits; any other is a double.
"""
import hashlib
import json
import math
import struct
import sys

CAPACITY = 16
MAX_DEPTH = 64


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def encode(value, depth=0):
    """Canonical MessagePack: smallest headers, names sorted by length in UTF-8 and then by bytes."""
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, float):
        if not value.is_integer() or abs(value) > 2**53 - 1:
            return b"\xcb" + struct.pack(">d", value)
        value = int(value)
    if isinstance(value, int):
        return encode_integer(value)
    if isinstance(value, str):
        text = value.encode()  # raises for lone surrogates
        return header(len(text), 0xA0, 32, 0xD9, 0xDA, 0xDB) + text
    if depth >= MAX_DEPTH:
        raise ValueError("too deep")
    if isinstance(value, list):
        return header(len(value), 0x90, 16, None, 0xDC, 0xDD) + b"".join(encode(item, depth + 1) for item in value)
    names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
    return header(len(value), 0x80, 16, None, 0xDE, 0xDF) + b"".join(
        encode(name) + encode(value[name], depth + 1) for name in names)


def encode_integer(value):
    if 0 <= value < 128 or -32 <= value < 0:
        return struct.pack("B", value & 0xFF)
    unsigned = ((0xCC, ">B", 8), (0xCD, ">H", 16), (0xCE, ">I", 32), (0xCF, ">Q", 64))
    signed = ((0xD0, ">b", 7), (0xD1, ">h", 15), (0xD2, ">i", 31), (0xD3, ">q", 63))
    for token, form, bits in unsigned if value >= 0 else signed:
        if -(2**bits) <= value < 2**bits:
            return bytes([token]) + struct.pack(form, value)
    raise ValueError("more than 64 bits")


def header(count, fixed, limit, token8, token16, token32):
    if count < limit:
        return bytes([fixed | count])
    if count < 2**8 and token8 is not None:
        return bytes([token8, count])
    if count < 2**16:
        return bytes([token16]) + struct.pack(">H", count)
    return bytes([token32]) + struct.pack(">I", count)


def trie(entries, depth=0):
    """Rule 3; `entries` are (kh, vh) in ascending order."""
    if len(entries) <= CAPACITY:
        return sha256(b"\x03", *(kh + vh for kh, vh in entries))
    sides = ([], [])
    for entry in entries:
        sides[entry[0][depth >> 3] >> (7 - (depth & 7)) & 1].append(entry)
    return sha256(b"\x01", trie(sides[0], depth + 1), trie(sides[1], depth + 1))


def collection_root(entries):
    return sha256(b"\x04", bytes([1, 0x12, 1, CAPACITY]), struct.pack(">Q", len(entries)), trie(sorted(entries)))


def parse(line):
    def number(token):
        value = float(token)
        if math.isinf(value):
            raise ValueError("too great for a double: " + token)
        return value

    return json.loads(line, parse_int=int, parse_float=number, parse_constant=float.fromhex)


def main():
    source = open(sys.argv[1], encoding="utf-8") if len(sys.argv) > 1 else sys.stdin
    sys.setrecursionlimit(10_000)
    collections = {}
    for line in source.read().split("\n"):
        if line == "":
            continue
        record = parse(line)
        entries = collections.setdefault(record.get("collection", "default"), {})
        key_hash = sha256(b"\x02", record["key"].encode())
        if key_hash in entries:
            raise ValueError("a key comes twice: " + record["key"])
        entries[key_hash] = sha256(b"\x00", encode(record["value"]))
    roots = sorted((name.encode(), len(entries), collection_root(entries.items())) for name, entries in collections.items())
    print("root sh1:" + sha256(b"\x05", *(struct.pack(">I", len(name)) + name + root for name, _, root in roots)).hex())
    for name, count, root in roots:
        print("collection", json.dumps(name.decode(), ensure_ascii=False), count, "sh1:" + root.hex())


if __name__ == "__main__":
    main()
