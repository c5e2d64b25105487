"""Checks a proof or a signed receipt of rehydrate (docs/proofs.md) on Python's standard library, and openssl for signatures.

    check.py FILE... [--root sh1:...] [--manifest sh1:...] [--public-key PEM]

Prints a line for each step that holds, or "FAILS <step>: <why>". Exit 0: all hold. Exit 1: a file fails. Exit 2: it can not tell.
"""
import argparse
import base64
import json
import math
import os
import re
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from reference import MAX_DEPTH, encode, header, sha256  # noqa: E402

HASH = r"sh1:[0-9a-f]{64}"
MAX_BYTES = 16 * 1024 * 1024
DER_HEAD = bytes.fromhex("302a300506032b6570032100")
# Points of small order, without their sign: openssl takes them, and for these keys anybody can make signatures.
SMALL_ORDER = [bytes(32), b"\x01" + bytes(31)] + [bytes([low]) + b"\xff" * 30 + b"\x7f" for low in (0xEC, 0xED, 0xEE)] + [
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")]


class Refused(Exception):
    pass


def require(holds, why):
    if not holds:
        raise Refused(why)


def printed(digest):
    return "sh1:" + digest.hex()


# What somebody else made: exact names, exact types.

def fields(value, names, optional=()):
    require(isinstance(value, dict), "an object is expected")
    require(set(names) <= set(value) <= {*names, *optional}, "the fields must be " + ", ".join(names))
    return [value[name] for name in names]


def text(value, form=None):
    require(isinstance(value, str), "a text is expected")
    require(not re.search("[\ud800-\udfff]", value), "a lone surrogate")
    require(form is None or re.fullmatch(form, value), "a text of another form")
    return value


def whole(value, least=0):
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    require(type(number) is int and least <= number < 2**53, "a whole number is expected")
    return number


def flag(value):
    require(isinstance(value, bool), "true or false is expected")
    return value


def one_of(value, *choices):
    require(any(type(value) is type(choice) and value == choice for choice in choices), "must be one of %r" % (choices,))
    return value


def record(value, read):
    require(isinstance(value, dict), "an object is expected")
    for name in value:
        require(text(name) != "__proto__", "no state has such a name")
    return {name: read(item) for name, item in value.items()}


def items(value, most, read):
    require(isinstance(value, list) and len(value) <= most, "a list is expected")
    return [read(item) for item in value]


def optional(value, read):
    return None if value is None else read(value)


def hash_text(value):
    return text(value, HASH)


def base64_bytes(value):
    try:
        data = base64.b64decode(text(value), validate=True)
    except ValueError:
        raise Refused("base64 is expected")
    require(base64.b64encode(data).decode() == value, "base64 is expected")
    return data


def collection_of(value):
    count, root = fields(value, ["count", "root"])
    return {"count": whole(count, 1), "root": hash_text(root)}


def roots_of(value):
    read = record(value, hash_text)
    require(all(name != "" and not name.startswith("$") for name in read), "not the name of a collection")
    return read


def identity_of(value):
    def one(item):
        identity, proved = fields(item, ["id", "proved"])
        return {"id": text(identity), "proved": flag(proved)}
    return record(value, one)


def projection_of(value):
    name, version, fingerprint = fields(value, ["name", "version", "fingerprint"])
    shape, code, code_from = fields(fingerprint, ["shape", "code", "codeFrom"], ["reading"])
    reading = fingerprint.get("reading")
    return {"name": text(name), "version": whole(version), "fingerprint": {
        "shape": record(shape, hash_text), "code": hash_text(code), "codeFrom": one_of(code_from, "modules", "text"),
        **({} if reading is None else {"reading": record(reading, text)})}}


def accepted_of(value):
    read = {"code": text, "partition": text, "from": whole, "to": whole, "detail": text}

    def one(item):
        fields(item, ["code"], ["partition", "from", "to", "detail"])
        return {name: read[name](part) for name, part in item.items() if part is not None or name == "code"}
    return items(value, 100_000, one)


def manifest_of(value):
    names = ["v", "sealed", "root", "position", "identity", "projection", "order", "holes", "accepted", "scrubbedAt", "control"]
    v, sealed, root, position, identity, projection, order, holes, accepted, scrubbed, control = fields(value, names)
    fields(holes, ["control", "aborted", "filtered", "compactedOrLost"])
    return {
        "v": whole(one_of(v, 1, 1.0)), "sealed": flag(sealed), "root": optional(root, hash_text), "position": record(position, whole),
        "identity": identity_of(identity), "projection": projection_of(projection), "order": text(order), "holes": record(holes, whole),
        "accepted": accepted_of(accepted), "scrubbedAt": optional(scrubbed, lambda at: record(at, whole)),
        "control": optional(control, hash_text)}


# Canonical bytes to a value; bytes inside become base64 text, as in the JSON form.

def decode(data, at=0, depth=0):
    """The value at `at`, the same in JSON, and where it ends."""
    def take(count):
        require(at + count <= len(data), "the bytes end too soon")
        return data[at:at + count]

    token, at = take(1)[0], at + 1
    if token < 0x80:
        return token, token, at
    if token >= 0xE0:
        return token - 256, token - 256, at
    if token in (0xC0, 0xC2, 0xC3):
        value = {0xC0: None, 0xC2: False, 0xC3: True}[token]
        return value, value, at
    numbers = {0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
    if token in numbers:
        size = struct.calcsize(numbers[token])
        value = struct.unpack(numbers[token], take(size))[0]
        require(value == value and abs(value) != float("inf"), "a number that is none")
        return value, value, at + size
    widths = {0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4), 0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4),
              0xDC: ("list", 2), 0xDD: ("list", 4), 0xDE: ("map", 2), 0xDF: ("map", 4)}
    if token in widths:
        kind, width = widths[token]
        count = int.from_bytes(take(width), "big")
        at += width
    else:
        require(token < 0xC0, "a token that does not occur")
        kind, count = ("map", token & 15) if token < 0x90 else ("list", token & 15) if token < 0xA0 else ("text", token & 31)
    if kind in ("bytes", "text"):
        raw = take(count)
        at += count
        if kind == "bytes":
            return raw, base64.b64encode(raw).decode(), at
        try:
            return raw.decode(), raw.decode(), at
        except UnicodeDecodeError:
            raise Refused("a text that is not UTF-8")
    require(depth < MAX_DEPTH, "too deep")
    values, shown = [], []
    for _ in range(count * (2 if kind == "map" else 1)):
        value, json_form, at = decode(data, at, depth + 1)
        values.append(value)
        shown.append(json_form)
    if kind == "list":
        return values, shown, at
    require(all(isinstance(name, str) and name != "__proto__" for name in values[::2]), "names must be texts")
    require(len(set(values[::2])) == count, "a name comes twice")
    return dict(zip(values[::2], values[1::2])), dict(zip(values[::2], shown[1::2])), at


def encode_all(value, depth=0):
    """Canonical bytes, of values that hold bytes too."""
    if isinstance(value, bytes):
        head = b"\xc4" + bytes([len(value)]) if len(value) < 256 else header(len(value), 0, 0, None, 0xC5, 0xC6)
        return head + value
    if isinstance(value, list) and depth < MAX_DEPTH:
        return header(len(value), 0x90, 16, None, 0xDC, 0xDD) + b"".join(encode_all(item, depth + 1) for item in value)
    if isinstance(value, dict) and depth < MAX_DEPTH:
        names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
        return header(len(value), 0x80, 16, None, 0xDE, 0xDF) + b"".join(
            encode(name) + encode_all(value[name], depth + 1) for name in names)
    return encode(value, depth)


# Proofs.

def bit(digest, depth):
    return digest[depth >> 3] >> (7 - (depth & 7)) & 1


def read_proof(given):
    names = ["v", "kind", "collection", "key", "value", "path", "collections", "manifest", "manifestHash"]
    v, kind, collection, key, value, path, collections, manifest, manifest_hash = fields(given, names)
    require(1 <= len(text(key).encode()) <= 1024, "not a key that a state can have")
    require(text(collection) != "" and not collection.startswith("$"), "not the name of a collection")
    require((one_of(kind, "inclusion", "absence") == "absence") == (value is None), "a value where it is included, else null")
    require(kind == "absence" or path is not None, "a path is expected")
    one_of(v, 1, 1.0)
    if value is not None:
        shown, data = fields(value, ["json", "bytes"])
        value = shown, base64_bytes(data)
    if path is not None:
        count, bucket, siblings = fields(path, ["count", "bucket", "siblings"])
        path = (whole(count, 1), items(bucket, 16, lambda entry: text(entry, "[0-9a-f]{128}")),
                items(siblings, 256, lambda sibling: text(sibling, "[0-9a-f]{64}")))
    return collection, key, value, path, roots_of(collections), manifest_of(manifest), hash_text(manifest_hash)


def check_value(value):
    if value is None:
        return None
    shown, data = value
    try:
        require(len(data) <= MAX_BYTES, "too long")
        held, json_form, end = decode(data)
        require(end == len(data) and encode_all(held) == data, "the bytes are not the canonical form of a value")
        require(encode(json_form) == encode(shown), "the JSON form is not the value of the bytes")
    except (ValueError, RecursionError):
        raise Refused("no value that a state can have")
    return sha256(b"\x00", data)


def check_entry(collection, key, path, collections, value_hash):
    if path is None:
        require(collection not in collections, "there must be a path")
        return
    key_hash = sha256(b"\x02", key.encode())
    require(next((vh for kh, vh in entries_of(path) if kh == key_hash), None) == value_hash, "the bucket says otherwise")


def entries_of(path):
    return [(bytes.fromhex(entry[:64]), bytes.fromhex(entry[64:])) for entry in path[1]]


def check_collection(collection, key, path, collections):
    if path is None:
        return
    key_hash, (count, bucket, siblings), entries = sha256(b"\x02", key.encode()), path, entries_of(path)
    require(all(a[0] < b[0] for a, b in zip(entries, entries[1:])), "the bucket is not in order")
    require(all(bit(kh, depth) == bit(key_hash, depth) for kh, _ in entries for depth in range(len(siblings))), "keys of elsewhere")
    require(count > 16 if siblings else count == len(entries), "a bucket of another depth")
    require(not siblings or bytes.fromhex(siblings[0]) != sha256(b"\x03"), "a bucket that would be whole one level up")
    digest = sha256(b"\x03", bytes.fromhex("".join(bucket)))
    for above, sibling in enumerate(siblings):
        pair = (digest, bytes.fromhex(sibling))
        digest = sha256(b"\x01", *(pair if bit(key_hash, len(siblings) - 1 - above) == 0 else pair[::-1]))
    root = sha256(b"\x04", bytes([1, 0x12, 1, 16]), struct.pack(">Q", count), digest)
    require(printed(root) == collections.get(collection), "the path does not give the root of the collection")


def check_state(collections, manifest):
    named = sorted((name.encode(), bytes.fromhex(root[4:])) for name, root in collections.items())
    root = sha256(b"\x05", *(struct.pack(">I", len(name)) + name + root for name, root in named))
    require(printed(root) == manifest["root"], "the collection roots do not give the state root")


def check_proof(given, args, step):
    require(args.public_key is None, "--public-key goes with a receipt")
    collection, key, value, path, collections, manifest, manifest_hash = step("form", lambda: read_proof(given))
    value_hash = step("value", lambda: check_value(value))
    step("entry", lambda: check_entry(collection, key, path, collections, value_hash))
    step("collection", lambda: check_collection(collection, key, path, collections))
    step("state", lambda: check_state(collections, manifest))
    step("manifest", lambda: require(printed(sha256(b"\x06", encode(manifest))) == manifest_hash, "it does not give its hash"))
    if args.root is not None or args.manifest is not None:
        step("given", lambda: require(
            args.root in (None, manifest["root"]) and args.manifest in (None, manifest_hash), "it is about another state"))


# Receipts.

def der_of(pem):
    match = re.fullmatch(r"-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=]{60})\r?\n-----END PUBLIC KEY-----\r?\n?", pem)
    require(match, "not an Ed25519 public key in PEM")
    der = base64_bytes(match[1])
    require(len(der) == 44 and der.startswith(DER_HEAD), "not an Ed25519 public key in PEM")
    require(der[12:43] + bytes([der[43] & 0x7F]) not in SMALL_ORDER, "a key for which anybody can sign")
    return der


def check_signature(receipt, signature, pem):
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("text", "signature", "key")]
        for name, data in zip(names, (receipt.encode(), signature, pem.encode())):
            with open(name, "wb") as file:
                file.write(data)
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-rawin", "-in", names[0], "-sigfile", names[1], "-pubin", "-inkey", names[2]],
            capture_output=True)
    require(done.returncode == 0, "the signature is not one of this key over this text")


def receipt_side(value):
    name, root, manifest, position, known, identity, accepted = fields(
        value, ["name", "root", "manifest", "position", "known", "identity", "accepted"])
    text(name), optional(manifest, hash_text), optional(position, lambda at: record(at, whole))
    optional(known, lambda said: one_of(said, "proved", "asserted")), identity_of(identity), accepted_of(accepted)
    return optional(root, hash_text)


def receipt_collection(value):
    rebuilt, against, omitted = fields(value, ["rebuilt", "against", "omitted"])
    items(omitted, 10_000, text)
    return optional(rebuilt, collection_of) == optional(against, collection_of)


def check_facts(receipt):
    names = ["v", "verdict", "reason", "grade", "rebuilt", "against", "projection", "collections", "differing", "truncated", "tool",
             "issuedAt"]
    v, verdict, reason, grade, rebuilt, against, projection, collections, differing, truncated, tool, issued = fields(
        read_json(receipt), names)
    one_of(v, 1, 1.0)
    one_of(verdict, "match", "mismatch", "inconclusive")
    optional(reason, lambda code: text(code, "[A-Z_]+"))
    optional(grade, lambda said: one_of(said, "scrubbed", "maintained"))
    roots = receipt_side(rebuilt), receipt_side(against)
    equal = record(collections, receipt_collection).values()
    projection_of(projection)
    optional(differing, whole), flag(truncated)
    for part in fields(tool, ["name", "version"]):
        text(part)
    text(issued, r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
    require((verdict == "inconclusive") == (reason is not None), "a reason where it is inconclusive, else null")
    require((verdict == "inconclusive") == (grade is None), "no grade where it is inconclusive, else one")
    require(verdict != "inconclusive" or differing is None, "nothing was counted where it is inconclusive")
    require(verdict != "match" or differing == 0 and not truncated, "nothing differs where the verdict is match")
    require(verdict != "mismatch" or differing != 0, "something differs where the verdict is mismatch")
    if verdict != "inconclusive":
        require((verdict == "match") == (roots[0] is not None and roots[0] == roots[1]), "one root where it is match, and only there")
        require((verdict == "match") == all(equal), "equal collections where it is match, and only there")


def check_receipt(given, args, step):
    require(args.root is None and args.manifest is None, "--root and --manifest go with a proof")

    def form():
        receipt, signature, pem = fields(given, ["receipt", "signature", "publicKey"])
        require(len(base64_bytes(signature)) == 64, "64 bytes of signature")
        return text(receipt), base64_bytes(signature), text(pem)

    def key():
        der = der_of(pem)
        if args.public_key is not None:
            with open(args.public_key, encoding="utf-8") as file:
                require(der_of(file.read()) == der, "signed with another key than the one given")
        return printed(sha256(der))

    receipt, signature, pem = step("form", form)
    step("key", key)
    step("signature", lambda: check_signature(receipt, signature, pem))
    step("facts", lambda: check_facts(receipt))


def read_json(source):
    def integer(token):
        value = int(token)
        if not -2**63 <= value < 2**64:
            raise ValueError("more than 64 bits")
        return value

    def number(token):
        value = float(token)
        if math.isinf(value):
            raise ValueError("too great for a double")
        return value

    def constant(token):
        raise ValueError(token)

    try:
        return json.loads(source, parse_int=integer, parse_float=number, parse_constant=constant)
    except (ValueError, RecursionError):
        raise Refused("not JSON with integers of at most 64 bits")


class Failed(Exception):
    pass


def check_file(name, args):
    """0: holds; 1: fails; 2: it can not tell."""
    def step(name, check):
        try:
            result = check()
        except Refused as refused:
            print("FAILS %s: %s" % (name, refused))
            raise Failed
        print("ok", name, result if isinstance(result, str) else "")
        return result

    def read():
        with open(name, encoding="utf-8", newline="") as file:
            try:
                return read_json(file.read())
            except UnicodeDecodeError:
                raise Refused("not UTF-8")

    print("#", name)
    try:
        try:
            given = read()
        except Refused as refused:
            print("FAILS form: %s" % refused)
            return 1
        (check_receipt if isinstance(given, dict) and "receipt" in given else check_proof)(given, args, step)
    except Failed:
        return 1
    except (Refused, OSError) as error:
        print("can not tell:", error)
        return 2
    return 0


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("file", nargs="+")
    for name in ("--root", "--manifest", "--public-key"):
        arguments.add_argument(name)
    args = arguments.parse_args()
    sys.exit(max([check_file(name, args) for name in args.file]))


if __name__ == "__main__":
    main()
