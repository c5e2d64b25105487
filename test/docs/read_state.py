"""Reads a SQLite state and its log from docs/formats.md alone, and checks everything that stands there.

    read_state.py STATE.db LOG_FOLDER

Prints, as JSON: root, manifest hash, control root, and the number of entries per collection. Fails with an AssertionError otherwise.
"""
import hashlib
import json
import os
import sqlite3
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "peers"))
from reference import collection_root, encode, trie  # noqa: E402

BLOCK = 1024
ROOTLESS = ("$digest", "$marks")
CONTROL = ("$owners", "$ids", "$merge")


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def printed(digest):
    return "sh1:" + digest.hex()


def decode(data, at=0):
    """The value at `at`, and where it ends."""
    token, at = data[at], at + 1

    def number(width, signed=False):
        return int.from_bytes(data[at:at + width], "big", signed=signed), at + width

    def text(count, at):
        return data[at:at + count].decode(), at + count

    def array(count, at):
        items = []
        for _ in range(count):
            item, at = decode(data, at)
            items.append(item)
        return items, at

    def mapping(count, at):
        items, at = array(2 * count, at)
        return dict(zip(items[::2], items[1::2])), at

    if token < 0x80:
        return token, at
    if token >= 0xE0:
        return token - 256, at
    if token < 0xC0:
        family = mapping if token < 0x90 else array if token < 0xA0 else text
        return family(token & (31 if family is text else 15), at)
    if token in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[token], at
    if token == 0xCB:
        return struct.unpack(">d", data[at:at + 8])[0], at + 8
    if 0xCC <= token <= 0xCF:
        return number(1 << (token - 0xCC))
    if 0xD0 <= token <= 0xD3:
        return number(1 << (token - 0xD0), signed=True)
    if 0xC4 <= token <= 0xC6:
        count, at = number(1 << (token - 0xC4))
        return data[at:at + count], at + count
    families = {0xD9: (text, 1), 0xDA: (text, 2), 0xDB: (text, 4), 0xDC: (array, 2), 0xDD: (array, 4), 0xDE: (mapping, 2), 0xDF: (mapping, 4)}
    family, width = families[token]
    count, at = number(width)
    return family(count, at)


def state_root(collections, belongs):
    names = sorted((name.encode(), name) for name in collections if belongs(name) and collections[name])
    return printed(sha256(b"\x05", *(struct.pack(">I", len(raw)) + raw + collection_root(collections[name]) for raw, name in names)))


def pages(name, entries, keys):
    """The pages of `$digest` of one collection, by key; `keys` has the UTF-8 of each key by its kh."""
    found = {}

    def bucket(part):
        texts = [keys[kh] for kh, _ in part]
        return b"".join(kh + vh for kh, vh in part) + b"".join(struct.pack(">H", len(text)) + text for text in texts)

    def group(part, depth, path):
        page = []

        def walk(below, at, bits):
            if at > depth and (len(below) <= 16 or at == depth + 4):
                is_group = len(below) > 16
                page.append(bytes([at - depth + (128 if is_group else 0)]) + len(below).to_bytes(6, "big") + trie(below, at))
                if is_group:
                    nibble = "%x" % int(bits, 2)
                    found[f"{name}/{path}{nibble}"] = group(below, at, path + nibble)
                elif below:
                    found[f"{name}/{path}.{bits}"] = bucket(below)
                return
            for bit in (0, 1):
                side = [entry for entry in below if entry[0][at >> 3] >> (7 - (at & 7)) & 1 == bit]
                walk(side, at + 1, bits + str(bit))

        walk(part, depth, "")
        return b"".join(page)

    if entries:
        head = b"\x02" + struct.pack(">Q", len(entries)) + trie(entries)
        found[f"{name}/"] = head + (bucket(entries) if len(entries) <= 16 else group(entries, 0, ""))
    return found


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def typed_rows(connection, table, columns):
    """Key, canonical bytes and vh of each row of a typed table that holds no bytes."""
    names = ", ".join(quoted(column["column"]) for column in columns)
    for key, vh, *cells in connection.execute(f"select key, hash, {names} from {quoted(table)}"):
        value = {}
        for column, cell in zip(columns, cells):
            if column["path"] == "...":
                value.update({} if cell is None else json.loads(cell))
            elif cell is not None or column["null"] == "null":
                *outer, name = column["path"].split(".")
                at = value
                for step in outer:
                    at = at.setdefault(step, {})
                kind = column["type"] if cell is not None else "null"
                at[name] = bool(cell) if kind == "bool" else json.loads(cell) if kind == "json" else cell
        yield key, encode(value), vh


def check_mark(mark, identity, lines):
    chain = bytes(32)
    for start in range(0, len(lines), BLOCK):
        before, chain = chain, sha256(chain, sha256(b"".join(line + b"\n" for line in lines[start:start + BLOCK])))
    last = len(lines) - 1
    assert mark["id"] == identity["id"] == sha256(lines[0]).hex()
    assert mark["input"] == chain.hex()
    assert mark["proof"]["first"] == {"offset": 0, "hash": mark["id"]}
    assert mark["proof"]["last"] == {"offset": last, "hash": sha256(lines[last]).hex()}
    assert mark["proof"]["block"] == {"offset": last // BLOCK * BLOCK, "chain": before.hex()}


def main(database, log):
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    assert connection.execute("pragma application_id").fetchone() == (0x72687964,)
    assert connection.execute("pragma user_version").fetchone() == (2,)
    generation, blob = connection.execute("select generation, checkpoint from generations where live = 1").fetchone()
    assert sha256(b"\x00", blob[32:]) == blob[:32]
    checkpoint, end = decode(blob[32:])
    assert end == len(blob) - 32 and encode(checkpoint) == blob[32:]
    manifest = checkpoint["manifest"]
    assert printed(sha256(b"\x06", encode(manifest))) == checkpoint["manifestHash"]

    values, collections = {}, {}
    listed = connection.execute("select id, name, columns from collections where generation = ?", (generation,)).fetchall()
    for table, name, columns in listed:
        if columns is None:
            rows = connection.execute(f"select key, bytes, hash from entries_{table}").fetchall()
        else:
            rows = list(typed_rows(connection, f"{name}__g{generation}", json.loads(columns)))
            names = ", ".join(["key", *(quoted(column["column"]) for column in json.loads(columns))])
            live = connection.execute(f"select {names} from {quoted(name)} order by key").fetchall()
            assert live == connection.execute(f"select {names} from {quoted(f'{name}__g{generation}')} order by key").fetchall()
        assert all(sha256(b"\x00", data) == vh for _, data, vh in rows)
        values[name] = {key: data for key, data, _ in rows}
        collections[name] = sorted((sha256(b"\x02", key.encode()), vh) for key, _, vh in rows)
    assert manifest["root"] == state_root(collections, lambda name: not name.startswith("$"))
    assert manifest["control"] == state_root(collections, lambda name: name in CONTROL)
    rooted = {name: entries for name, entries in collections.items() if name not in ROOTLESS and entries}
    assert checkpoint["collections"] == {
        name: {"count": len(entries), "root": printed(collection_root(entries))} for name, entries in rooted.items()}
    texts = {sha256(b"\x02", key.encode()): key.encode() for name in rooted for key in values[name]}
    expected = {key: page for name, entries in rooted.items() for key, page in pages(name, entries, texts).items()}
    assert {key: decode(data)[0] for key, data in values["$digest"].items()} == expected
    for partition, data in values["$marks"].items():
        with open(os.path.join(log, partition + ".ndjson"), "rb") as file:
            lines = file.read().split(b"\n")[:manifest["position"][partition] + 1]
        check_mark(decode(data)[0], manifest["identity"][partition], lines)
    print(json.dumps({
        "root": manifest["root"], "manifest": checkpoint["manifestHash"], "control": manifest["control"],
        "entries": {name: len(entries) for name, entries in collections.items()},
    }))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
