"""Reads what a gateway stored, and its formats, with nothing but Python's standard library.

The formats are those of docs/receipt-format.md; nothing here calls code of the project.
"""

import base64
import dataclasses
import hashlib
import hmac
import json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
RECEIPT = "urn:assay:receipt:v1"
SETTLEMENT = "urn:assay:settlement:v1"
OUTPUT_DOMAIN = b"assay output commitment v1".ljust(32, b"\0")


class Damaged(Exception):
    """Something stored is not what the format says."""


@dataclasses.dataclass(frozen=True)
class Statement:
    """What an envelope's payload says, and the envelope's digest."""

    digest: str
    subject: str
    predicate: dict
    key: str


def statement(envelope, predicate_type, subject_name):
    """Reads a DSSE envelope around an in-toto statement."""
    try:
        envelope = json.loads(envelope)
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signature,) = envelope["signatures"]
        told = json.loads(payload)
        (subject,) = told["subject"]
        kinds = (envelope["payloadType"], told["predicateType"], subject["name"])
        subject_digest, predicate = subject["digest"]["sha256"], told["predicate"]
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"envelope: {error!r}") from None
    expected = (PAYLOAD_TYPE, predicate_type, subject_name)
    if kinds != expected:
        raise Damaged(f"envelope: expected {expected}, got {kinds}")
    kind = PAYLOAD_TYPE.encode()
    encoding = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    digest = hashlib.sha256(encoding).hexdigest()
    return Statement(digest, subject_digest, predicate, signature["keyid"])


def receipt_keys(manifest):
    """The ids of the receipt keys in a key manifest's envelope."""
    payload = json.loads(base64.b64decode(json.loads(manifest)["payload"], validate=True))
    keys = [key for key in payload["keys"] if key["purpose"] == "receipt"]
    return {hashlib.sha256(base64.b64decode(key["publicKey"])).hexdigest() for key in keys}


@dataclasses.dataclass(frozen=True)
class Item:
    """A disclosed item of a transaction."""

    root: str
    output_digest: str | None
    output_is_committed: bool
    price: int


def items(text, count):
    """Reads the disclosed items of a receipt that has `count` in all, from what is sealed of it."""
    return [_item(item, count) for item in json.loads(text)["items"]]


def _item(item, count):
    words = base64.b64decode(item["statement"], validate=True)
    salts = {name: bytes.fromhex(salt) for name, salt in item["salts"].items()}
    details = json.loads(words[192:])
    if hashlib.sha256(words[192:]).digest() != words[160:192]:
        raise Damaged("item: the header does not hold the digest of the JSON after it")
    leaf = hashlib.sha256(b"\0" + salts["leaf"] + words).digest()
    path = [bytes.fromhex(sibling) for sibling in item["path"]]
    root = _root(leaf, details["index"], count, path)
    price = int(details["price"]["amount"])
    if item["output"] is None:
        return Item(root, None, words[128:160] == bytes(32), price)
    output = base64.b64decode(item["output"], validate=True)
    message = OUTPUT_DOMAIN + len(output).to_bytes(8, "big") + output
    committed = hmac.new(salts["output"], message, hashlib.sha256).digest() == words[128:160]
    return Item(root, hashlib.sha256(output).hexdigest(), committed, price)


def _root(node, index, count, path):
    """The root over a leaf's audit path (RFC 9162 section 2.1.3.2)."""
    last = count - 1
    for sibling in path:
        if last == 0:
            raise Damaged("item: the path is too long for its place")
        if index % 2 == 1 or index == last:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while index % 2 == 0 and index != 0:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    if last != 0:
        raise Damaged("item: the path is too short for its place")
    return node.hex()
