"""Verifies a bundle by its written format alone (docs/receipt-format.md), with no code of Assay's.

    python verify_bundle.py BUNDLE

Prints what the bundle proves and exits 0, or says which check failed and exits 1. Who the operator
is, what ran and where the money moved is for the reader to compare with what was expected.
"""

import base64
import hashlib
import hmac
import json
import sys

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

MANIFEST = "application/vnd.assay.key-manifest.v1+json"
STATEMENT = "application/vnd.in-toto+json"
HALF_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2


def check(good, what):
    if not good:
        raise ValueError(what)


def decode(text):
    return base64.b64decode(text, validate=True)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def signed_bytes(envelope):
    """What a DSSE signature covers: the pre-authentication encoding."""
    kind, payload = envelope["payloadType"].encode(), decode(envelope["payload"])
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def open_envelope(envelope, kind, key):
    """The JSON in an envelope that `key` (DER) signed, as this kind of payload."""
    [signature] = envelope["signatures"]
    check(envelope["payloadType"] == kind, "payload type")
    check(signature["keyid"] == sha256(key).hex(), "key id")
    encoded = decode(signature["sig"])
    check(decode_dss_signature(encoded)[1] <= HALF_ORDER, "signature: high S")
    load_der_public_key(key).verify(encoded, signed_bytes(envelope), ECDSA(SHA256()))
    return json.loads(decode(envelope["payload"]))


def open_statement(envelope, manifest, subject, kind, time_field):
    """(digest, predicate) of an in-toto statement by one of the manifest's receipt keys."""
    key_id = json.loads(decode(envelope["payload"]))["predicate"]["receiptKey"]
    keys = [key for key in manifest["keys"] if sha256(decode(key["publicKey"])).hex() == key_id]
    check(keys and keys[0]["purpose"] == "receipt", "the key is not in the key manifest")
    check(key_id not in [one["key"] for one in manifest["revocations"]], "the key is revoked")
    statement = open_envelope(envelope, STATEMENT, decode(keys[0]["publicKey"]))
    predicate, [about] = statement["predicate"], statement["subject"]
    check(statement["_type"] == "https://in-toto.io/Statement/v1", "statement type")
    check(
        (about["name"], statement["predicateType"]) == (subject, kind), "subject or predicate type"
    )
    check(predicate["operator"] == manifest["operator"], "operator")
    time = predicate[time_field]
    check(keys[0]["validFrom"] <= time <= keys[0]["validTo"], "the key was not valid at the time")
    return bytes.fromhex(about["digest"]["sha256"]), predicate


def root_of(leaf, index, count, path):
    """The Merkle root over `count` leaves with this one at `index` (RFC 9162, 2.1.3.2)."""
    last = count - 1
    check(index <= last, "item index")
    for sibling in map(bytes.fromhex, path):
        check(last > 0, "Merkle path is too long")
        if index % 2 == 1 or index == last:
            leaf = sha256(b"\x01", sibling, leaf)
            while index % 2 == 0 and index != 0:
                index, last = index // 2, last // 2
        else:
            leaf = sha256(b"\x01", leaf, sibling)
        index, last = index // 2, last // 2
    check(last == 0, "Merkle path is too short")
    return leaf


def commitment(salt, domain, content):
    message = domain.ljust(32, b"\0") + len(content).to_bytes(8, "big") + content
    return hmac.digest(bytes.fromhex(salt), message, "sha256")


def verify_item(item, root, count, evidence):
    """The JSON of an item that is under the root and commits to the request and output with it."""
    statement, salts = decode(item["statement"]), item["salts"]
    header, text = [statement[at : at + 32] for at in range(0, 192, 32)], statement[192:]
    details = json.loads(text)
    leaf = sha256(b"\x00", bytes.fromhex(salts["leaf"]), statement)
    check(root_of(leaf, details["index"], count, item["path"]) == root, "Merkle root")
    model = details["model"]["program"] or details["model"]["package"]
    request = commitment(salts["request"], b"assay request commitment v1", decode(item["request"]))
    output = bytes(32)
    if details["outcome"]["status"] == "ok":
        output = commitment(salts["output"], b"assay output commitment v1", decode(item["output"]))
    expected = {
        "version": (1).to_bytes(32, "big"),
        "model": bytes.fromhex(model),
        "method": details["method"].encode().ljust(32, b"\0"),
        "request commitment": request,
        "output commitment": output,
        "digest of the JSON": sha256(text),
    }
    for (word, value), stated in zip(expected.items(), header, strict=True):
        check(value == stated, f"item {details['index']}: {word}")
    for reference in details["evidence"]:
        check(reference["sha256"] in evidence, "evidence is missing")
    return details


def verify(file):
    """What a bundle proves; raises an exception when it proves nothing."""
    bundle = json.loads(file)
    envelope = bundle["keyManifest"]
    identity = decode(json.loads(decode(envelope["payload"]))["identityKey"])
    manifest = open_envelope(envelope, MANIFEST, identity)
    check(manifest["operator"] == sha256(identity).hex(), "operator")
    receipt = ("transaction", "urn:assay:receipt:v1", "issuedAt")
    root, predicate = open_statement(bundle["receipt"], manifest, *receipt)
    digest = sha256(signed_bytes(bundle["receipt"]))
    evidence = {sha256(decode(one["content"])).hex() for one in bundle["evidence"]}
    count = predicate["itemCount"]
    items = [verify_item(item, root, count, evidence) for item in bundle["items"]]
    records = []
    for record in bundle["settlementRecords"]:
        settlement = ("receipt", "urn:assay:settlement:v1", "recordedAt")
        about, settled = open_statement(record, manifest, *settlement)
        check(about == digest, "a settlement record is about another receipt")
        records.append(settled)
    return {"operator": manifest["operator"], "receipt": digest.hex(), "root": root.hex(),
            "transaction": predicate["transactionId"], "payment": predicate["authorization"],
            "items": items, "settlements": records}  # fmt: skip


if __name__ == "__main__":
    try:
        with open(sys.argv[1], "rb") as opened:
            print(json.dumps(verify(opened.read()), indent=2))
    except Exception as error:  # whatever a hostile file makes go wrong, it is not verified
        sys.exit(f"refused: {type(error).__name__}: {error}")
