#!/usr/bin/env python3
"""A second reader of proto/vectors, written from proto/wire.md alone and with Python's standard library alone.

    tests/dataplane/vectors_check.py [FOLDER]     prints what it checked; exit 1 at the first thing that does not hold

It shows that the specification is enough for another implementation, so it shares nothing with the product: field,
seed expansion, header, frames, tags, digests, AES-128-GCM, Ed25519, X25519 and HKDF are worked out here from their
definitions.
"""
import hashlib
import hmac
import json
import pathlib
import struct
import sys

FOLDER = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2] / "proto/vectors")
CHECKED = {}


def load(name):
    file = json.loads((FOLDER / name).read_text())
    assert file["wire_version"] == 1
    return file


def check(what, condition, detail=""):
    CHECKED[what] = CHECKED.get(what, 0) + 1
    if not condition:
        raise SystemExit(f"vectors_check: {what} does not hold: {detail}")


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# Field and coefficients.

def product(a, b):
    total = 0
    while b:
        if b & 1:
            total ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return total


def power(a, n):
    total = 1
    for _ in range(n):
        total = product(total, a)
    return total


# The elements that are their own 16th power, each named by its low half.
ELEMENTS = {a & 15: a for a in range(256) if power(a, 16) == a}


def coefficients_of(seed, k):
    mask = (1 << 64) - 1
    out = b""
    while len(out) < k:
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out += unpacked(struct.pack("<Q", z ^ (z >> 31)))
    return out[:k]


def unpacked(halves):
    return bytes(ELEMENTS[half] for byte in halves for half in (byte & 15, byte >> 4))


def combine(coefficients, shards):
    out = bytearray(len(shards[0]))
    for coefficient, shard in zip(coefficients, shards):
        row = [product(coefficient, byte) for byte in range(256)]
        for i, byte in enumerate(shard):
            out[i] ^= row[byte]
    return bytes(out)


# AES-128-GCM (FIPS 197, NIST SP 800-38D), 12-byte nonces.

def aes_product(a, b):
    total = 0
    while b:
        total ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return total


def make_sbox():
    sbox = []
    for value in range(256):
        inverse = next((i for i in range(256) if aes_product(value, i) == 1), 0)
        rotated = [((inverse << n) | (inverse >> (8 - n))) & 0xFF for n in range(5)]
        sbox.append(rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ rotated[4] ^ 0x63)
    return sbox


SBOX = make_sbox()
BY_2 = [aes_product(i, 2) for i in range(256)]
BY_3 = [aes_product(i, 3) for i in range(256)]


def expand_key(key):
    words = [key[i:i + 4] for i in range(0, 16, 4)]
    constant = 1
    for i in range(4, 44):
        word = words[-1]
        if i % 4 == 0:
            word = bytes(SBOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = BY_2[constant]
        words.append(bytes(a ^ b for a, b in zip(words[-4], word)))
    return [b"".join(words[i:i + 4]) for i in range(0, 44, 4)]


def encrypt_block(round_keys, block):
    state = bytes(a ^ b for a, b in zip(block, round_keys[0]))
    for number, key in enumerate(round_keys[1:], 1):
        state = [SBOX[state[(5 * i) % 16]] for i in range(16)]  # SubBytes and ShiftRows
        if number != 10:
            mixed = []
            for c in range(0, 16, 4):
                a, b, d, e = state[c:c + 4]
                mixed += [BY_2[a] ^ BY_3[b] ^ d ^ e, a ^ BY_2[b] ^ BY_3[d] ^ e,
                          a ^ b ^ BY_2[d] ^ BY_3[e], BY_3[a] ^ b ^ d ^ BY_2[e]]
            state = mixed
        state = bytes(a ^ b for a, b in zip(state, key))
    return state


def ghash(key, data):
    h = int.from_bytes(key, "big")
    y = 0
    for at in range(0, len(data), 16):
        y ^= int.from_bytes(data[at:at + 16], "big")
        z, v = 0, h
        for bit in range(127, -1, -1):
            if y >> bit & 1:
                z ^= v
            v = (v >> 1) ^ (0xE1 << 120 if v & 1 else 0)
        y = z
    return y.to_bytes(16, "big")


def gcm_seal(key, nonce, associated, plain):
    """Ciphertext and tag."""
    round_keys = expand_key(key)
    sealed = b""
    for number, at in enumerate(range(0, len(plain), 16), 2):
        stream = encrypt_block(round_keys, nonce + struct.pack(">I", number))
        sealed += bytes(a ^ b for a, b in zip(plain[at:at + 16], stream))

    def padded(data):
        return data + bytes(-len(data) % 16)

    lengths = struct.pack(">QQ", 8 * len(associated), 8 * len(sealed))
    hashed = ghash(encrypt_block(round_keys, bytes(16)), padded(associated) + padded(sealed) + lengths)
    return sealed, bytes(a ^ b for a, b in zip(hashed, encrypt_block(round_keys, nonce + b"\0\0\0\1")))


# Curve 25519 (RFC 7748, RFC 8032).

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def x25519(secret, u_bytes):
    k = int.from_bytes(secret, "little") & ~7 & ~(1 << 255) | 1 << 254
    u = int.from_bytes(u_bytes, "little") & (1 << 255) - 1
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in range(254, -1, -1):
        swap = k >> bit & 1
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = (x2 + z2) % P, (x2 - z2) % P, (x3 + z3) % P, (x3 - z3) % P
        da, cb, aa, bb = d * a % P, c * b % P, a * a % P, b * b % P
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        e = (aa - bb) % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def edwards_add(p, q):
    (x1, y1), (x2, y2) = p, q
    t = D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + t, P - 2, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, P - 2, P) % P)


def edwards_times(point, n):
    total = (0, 1)
    while n:
        if n & 1:
            total = edwards_add(total, point)
        point = edwards_add(point, point)
        n >>= 1
    return total


def edwards_decode(data):
    y = int.from_bytes(data, "little") & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    return (P - x if x & 1 != data[31] >> 7 else x, y)


BASE = edwards_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_holds(key, message, signature):
    s = int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    right = edwards_add(edwards_decode(signature[:32]), edwards_times(edwards_decode(key), h))
    return s < ORDER and edwards_times(BASE, s) == right


# Headers and frames.

class Malformed(Exception):
    pass


def require(condition, why):
    if not condition:
        raise Malformed(why)


def parse_header(data):
    require(189 <= len(data) and data[0] == 1, "version or length")
    topic_bytes = data[1]
    require(topic_bytes >= 1 and len(data) == 124 + topic_bytes + 64, "topic length")
    k, shard, generations, size, sequence, timestamp = struct.unpack_from("<HHHIQq", data, 2)
    require(1 <= k <= 128 and shard <= 1472 and 1 <= generations <= 1024 and size <= 64 << 20, "limits")
    if k == generations == 1:
        require(shard == size, "a single frame's shard is its payload")
    else:
        require(shard >= 64 and shard % 64 == 0, "shard bytes")
        require((generations - 1) * k * shard < size <= generations * k * shard, "geometry not tight")
    return {"k": k, "shard_bytes": shard, "generations": generations, "payload_bytes": size, "sequence": sequence,
            "timestamp_ns": timestamp, "message_id": data[28:60], "publisher": data[60:92], "digest_root": data[92:124],
            "topic": data[124:124 + topic_bytes], "signature": data[-64:], "signed": data[:-64]}


def parse_announce(data):
    require(len(data) >= 24 and data[1] <= 1 and not any(data[12:24]), "prefix")
    first, _, count, header_bytes = struct.unpack_from("<HIHH", data, 2)
    require(189 <= header_bytes <= 443 and len(data) == 24 + header_bytes + 16 * count, "length")
    header = parse_header(data[24:24 + header_bytes])
    require(first + count <= header["generations"], "digests")


def parse_coded(data):
    require(len(data) >= 24 and data[1] & 15 <= 2 and data[1] >> 4 <= 2, "form")
    generation = struct.unpack_from("<H", data, 2)[0]
    require(generation < 1024, "generation")
    rest = len(data) - 24
    if data[1] & 15 == 0:
        require(2 <= rest <= 64 + 1472, "length")
    else:
        require(9 <= rest <= 8 + 1472, "length")
        require(data[1] & 15 == 1 or struct.unpack_from("<Q", data, 24)[0] < 128, "shard index")


def parse_feedback(data):
    require(len(data) >= 20 and data[3] <= 16, "prefix")
    at = 20 + 8 * data[3]
    require(len(data) >= at, "bitmap")
    for _ in range(data[2]):
        require(len(data) >= at + 24 and data[at + 16] <= 3 and data[at + 17] == 0, "status")
        first, count = struct.unpack_from("<HH", data, at + 20)
        deficits = data[at + 24:at + 24 + count]
        require(first + count <= 1024 and len(deficits) == count and all(d <= 128 for d in deficits), "deficits")
        at += 24 + count
    require(at == len(data), "length")


def parse_single(data):
    require(len(data) >= 24 and data[1] <= 15, "prefix")
    header_bytes = struct.unpack_from("<H", data, 2)[0]
    require(115 <= header_bytes <= 369 and len(data) >= 24 + header_bytes, "header length")
    short = data[24:24 + header_bytes]
    payload = data[24 + header_bytes:]
    require(len(payload) <= 1472, "payload")
    message_id = sha256(payload)
    size = len(payload)
    header = parse_header(short[:2] + struct.pack("<HHHI", 1, size, 1, size) + short[2:18] + message_id + short[18:50]
                          + sha256(message_id[:16]) + short[50:])
    check("single: tag", sha256(b"corelay-tag-1", message_id, header["topic"])[:16] == data[8:24])
    check("single: signature", ed25519_holds(header["publisher"], b"corelay-header-1" + header["signed"],
                                             header["signature"]))


def parse_probe(data):
    require(len(data) >= 8 and data[1] <= 1 and not any(data[2:4]) and not any(data[8:]), "probe")


PARSERS = {1: parse_announce, 2: parse_coded, 3: parse_feedback, 4: parse_single, 5: parse_probe}


def parse_frame(data):
    require(len(data) > 0 and data[0] in PARSERS, "kind")
    PARSERS[data[0]](data)


def is_refused(parse, data):
    try:
        parse(data)
    except Malformed:
        return True
    return False


def payload_of(size):
    return bytes((31 * i + i // 256) % 256 for i in range(size))


# The files.

def check_seeds():
    for row in load("seeds.json")["seeds"]:
        seed = struct.unpack("<Q", bytes.fromhex(row["seed"]))[0]
        check("coefficients by seed", coefficients_of(seed, row["k"]).hex() == row["coefficients"], row)


def check_field():
    file = load("field.json")
    for row in file["products"]:
        check("product", product(row["a"], row["b"]) == row["product"], row)
    for row in file["inverses"]:
        check("inverse", product(row["a"], row["inverse"]) == 1, row)
    for row in file["payloads"]:
        shards = [bytes.fromhex(shard) for shard in row["shards"]]
        check("coded payload", combine(bytes.fromhex(row["coefficients"]), shards).hex() == row["payload"], row)


def check_headers():
    """The messages by name, each with its shards of every generation."""
    file = load("headers.json")
    messages = {}
    for row in file["messages"]:
        data = bytes.fromhex(row["encoded"])
        header = parse_header(data)
        for name in ("k", "shard_bytes", "generations", "payload_bytes", "sequence", "timestamp_ns"):
            check("header field", header[name] == row[name], (row["name"], name))
        check("topic", header["topic"].decode() == row["topic"])
        payload = payload_of(row["payload_bytes"])
        check("message id", sha256(payload) == header["message_id"] == bytes.fromhex(row["message_id"]))
        k, shard = header["k"], header["shard_bytes"]
        padded = payload.ljust(k * shard * header["generations"], b"\0")
        generations = [padded[g * k * shard:(g + 1) * k * shard] for g in range(header["generations"])]
        digests = [sha256(generation)[:16] for generation in generations]
        check("generation digests", [d.hex() for d in digests] == row["generation_digests"])
        check("digest root", sha256(*digests) == header["digest_root"])
        tag = sha256(b"corelay-tag-1", header["message_id"], header["topic"])[:16]
        check("tag and lane", tag.hex() == row["tag"] and tag[0] % 4 == row["lane_of_4"])
        signed = b"corelay-header-1" + header["signed"]
        check("signed bytes", signed.hex() == row["signed_bytes"])
        check("signature", ed25519_holds(header["publisher"], signed, header["signature"]))
        changed = signed[:40] + bytes([signed[40] ^ 1]) + signed[41:]
        check("signature of other bytes", not ed25519_holds(header["publisher"], changed, header["signature"]))
        messages[row["name"]] = {"tag": tag, "k": k, "encoded": data, "shards": [
            [generation[i * shard:(i + 1) * shard] for i in range(k)] for generation in generations]}
    for row in file["malformed"]:
        check("malformed header refused", is_refused(parse_header, bytes.fromhex(row["encoded"])), row["why"])
    return messages


def check_coded(frame, message):
    form, generation = frame[1] & 15, struct.unpack_from("<H", frame, 2)[0]
    shards, k = message["shards"][generation], message["k"]
    check("coded tag", frame[8:24] == message["tag"])
    if form == 0:
        end = 24 + (k + 1) // 2
        coefficients, payload = unpacked(frame[24:end])[:k], frame[end:]
    else:
        number, payload = struct.unpack_from("<Q", frame, 24)[0], frame[32:]
        coefficients = coefficients_of(number, k) if form == 1 else bytes(int(i == number) for i in range(k))
    check("coded payload in a frame", combine(coefficients, shards) == payload)


def check_frames(messages):
    file = load("frames.json")
    kinds = set()
    for row in file["frames"]:
        frame = bytes.fromhex(row["frame"])
        at = 0
        for field in row["fields"]:
            check("field layout", field["offset"] == at
                  and frame[at:at + field["bytes"]].hex() == field["hex"], (row["name"], field["name"]))
            at += field["bytes"]
        check("fields cover the frame", at == len(frame), row["name"])
        check("frame accepted", not is_refused(parse_frame, frame), row["name"])
        check("header in a frame", frame[0] != 1 or messages["large"]["encoded"] in frame, row["name"])
        if frame[0] == 2:
            check_coded(frame, messages["large"])
        kinds.add(frame[0])
    check("every kind is there", kinds == set(PARSERS))
    for row in file["malformed"]:
        check("malformed frame refused", is_refused(parse_frame, bytes.fromhex(row["frame"])), row["why"])


def check_datagrams():
    file = load("datagrams.json")
    for row in file["known_answers"]:
        arguments = [bytes.fromhex(row[name]) for name in ("key", "nonce", "associated_data", "plain")]
        sealed, tag = gcm_seal(*arguments)
        check("published AES-128-GCM answer", (sealed.hex(), tag.hex()) == (row["sealed"], row["tag"]), row["name"])
    key, iv = bytes.fromhex(file["key"]), bytes.fromhex(file["iv"])
    for row in file["datagrams"]:
        header = struct.pack("<BBBBIQ", 1, row["source_lane"], row["destination_lane"], 0, file["key_id"],
                             row["packet_number"])
        mask = struct.pack("<BxxxQ", row["source_lane"], row["packet_number"])
        nonce = bytes(a ^ b for a, b in zip(iv, mask))
        check("datagram header and nonce", (header.hex(), nonce.hex()) == (row["associated_data"], row["nonce"]))
        frame = bytes.fromhex(row["frame"])
        check("datagram", (header + b"".join(gcm_seal(key, nonce, header, frame))).hex() == row["datagram"],
              row["frame_name"])


def check_session_keys():
    file = load("session_keys.json")
    dialer, listener = file["dialer"], file["listener"]
    base = (9).to_bytes(32, "little")
    for side in (dialer, listener):
        key = x25519(bytes.fromhex(side["ephemeral_secret"]), base)
        check("ephemeral key", key.hex() == side["ephemeral_key"] and side["ephemeral_key"] in side["hello"])
        check("mesh hash in the hello", file["mesh_hash"] in side["hello"])
    mesh_hash = sha256(b"corelay-mesh-1", struct.pack("<IHH", 1, 1, 1400), b"vectors")
    check("mesh hash", mesh_hash.hex() == file["mesh_hash"])
    shared = x25519(bytes.fromhex(listener["ephemeral_secret"]), bytes.fromhex(dialer["ephemeral_key"]))
    check("shared secret", shared.hex() == file["shared"])
    salt = sha256(b"corelay-session-1", bytes.fromhex(dialer["hello"]), bytes.fromhex(listener["hello"]))
    check("salt", salt.hex() == file["salt"])
    secret = hmac.digest(salt, shared, "sha256")
    first = hmac.digest(secret, b"corelay-session-1 keys\x01", "sha256")
    okm = (first + hmac.digest(secret, first + b"corelay-session-1 keys\x02", "sha256"))[:56]
    check("key material", okm.hex() == file["okm"])
    for name, at in (("dialer_sends", 0), ("listener_sends", 28)):
        keys = file[name]
        check("direction keys", keys["key"] + keys["iv"] == okm[at:at + 28].hex(), name)


def main():
    check_seeds()
    check_field()
    check_frames(check_headers())
    check_datagrams()
    check_session_keys()
    for what, count in CHECKED.items():
        print(f"{count:4} {what}")


if __name__ == "__main__":
    main()
