"""Receipts under verifiers that are not ours: DSSE and in-toto libraries, the written format."""

import base64
import copy
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import load_der_public_key
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

import verify_bundle
from buyer import Buyer
from harness import request
from payment_cases import fetch_bundle

TITLE = "receipts, read by others"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def run(report, gateway):
    buyer = Buyer(gateway.keys[4])

    def buy():
        response = buyer.by_requests(f"{gateway.url}/v2/models/digits/infer", request(2))
        assert response.status_code == 200, response.text
        return fetch_bundle(gateway, response.headers)

    file = report.test("a bundle to look at is bought", buy)
    if file is None:
        return
    bundle = json.loads(file)
    report.test(
        "securesystemslib verifies receipt, settlement record and key manifest",
        lambda: dsse(bundle),
    )
    report.test(
        "securesystemslib refuses a changed payload, type or signature, and another key",
        lambda: dsse_changed(bundle),
    )
    report.test("in-toto-attestation reads and validates both statements", lambda: in_toto(bundle))
    report.test(
        "a verifier written from the format agrees with assay verify", lambda: agree(gateway, file)
    )
    report.test(
        "it and assay verify refuse the same changed bundles", lambda: both_refuse(gateway, bundle)
    )


def manifest_of(bundle):
    return json.loads(base64.b64decode(bundle["keyManifest"]["payload"]))


def ssl_key(der):
    """A key of securesystemslib's under the id that Assay's envelopes name it by."""
    key_id = hashlib.sha256(der).hexdigest()
    return SSlibKey.from_crypto(
        load_der_public_key(der), keyid=key_id, scheme="ecdsa-sha2-nistp256"
    )


def keys_of(bundle):
    """(receipt key, identity key) as securesystemslib holds them."""
    manifest = manifest_of(bundle)
    [receipt] = [key["publicKey"] for key in manifest["keys"] if key["purpose"] == "receipt"]
    return [ssl_key(base64.b64decode(key)) for key in [receipt, manifest["identityKey"]]]


def verify_dsse(envelope, key):
    # from_dict decodes the signatures in place.
    return Envelope.from_dict(copy.deepcopy(envelope)).verify([key], 1)


def dsse(bundle):
    receipt_key, identity = keys_of(bundle)
    assert receipt_key.keyid in verify_dsse(bundle["receipt"], receipt_key)
    for record in bundle["settlementRecords"]:
        assert receipt_key.keyid in verify_dsse(record, receipt_key)
    assert identity.keyid in verify_dsse(bundle["keyManifest"], identity)


def dsse_changed(bundle):
    receipt_key, identity = keys_of(bundle)
    envelope = bundle["receipt"]
    payload = copy.deepcopy(envelope)
    payload["payload"] = flipped(payload["payload"], 100)
    signature = copy.deepcopy(envelope)
    signature["signatures"][0]["sig"] = flipped(signature["signatures"][0]["sig"], 30)
    kind = copy.deepcopy(envelope) | {"payloadType": "application/json"}
    other_key = copy.deepcopy(envelope)
    other_key["signatures"][0]["keyid"] = identity.keyid
    for changed, key in [
        (payload, receipt_key),
        (signature, receipt_key),
        (kind, receipt_key),
        (other_key, identity),
    ]:
        try:
            verify_dsse(changed, key)
        except VerificationError:
            continue
        raise AssertionError(f"accepted: {changed}")


def in_toto(bundle):
    expected = [(bundle["receipt"], "transaction", "urn:assay:receipt:v1")]
    expected += [
        (record, "receipt", "urn:assay:settlement:v1") for record in bundle["settlementRecords"]
    ]
    assert len(expected) == 2
    for envelope, name, kind in expected:
        assert envelope["payloadType"] == "application/vnd.in-toto+json"
        statement = statement_pb2.Statement()
        json_format.Parse(base64.b64decode(envelope["payload"]), statement)
        Statement.copy_from_pb(statement).validate()
        [subject] = statement.subject
        assert (subject.name, statement.predicate_type) == (name, kind)
        assert len(bytes.fromhex(subject.digest["sha256"])) == 32


def agree(gateway, file):
    found = verify_bundle.verify(file)
    code, report = gateway.verify(file)
    assert code == 3, report
    for key in ["operator", "receipt", "transaction"]:
        assert found[key] == report[key], key
    [item], [settled] = found["items"], found["settlements"]
    assert item["model"]["package"] == report["items"][0]["model"]["id"]
    assert (settled["status"], settled["amount"]) == ("settled", report["payment"]["settled"])
    assert settled["transaction"] == report["payment"]["transaction"]


def both_refuse(gateway, bundle):
    for name, change in CHANGES.items():
        changed = copy.deepcopy(bundle)
        change(changed)
        file = json.dumps(changed, separators=(",", ":"), ensure_ascii=False).encode()
        code, report = gateway.verify(file)
        assert code in (1, 2), f"{name}: assay verify says {report}"
        try:
            found = verify_bundle.verify(file)
        except Exception:  # a refusal, whatever its kind
            continue
        raise AssertionError(f"{name}: accepted as {found}")


def flipped(text, at):
    """Base64 with one bit of one byte changed."""
    content = bytearray(base64.b64decode(text))
    content[min(at, len(content) - 1)] ^= 1
    return base64.b64encode(content).decode()


def high_s(bundle):
    """The other signature that plain ECDSA accepts for the same message."""
    signature = bundle["receipt"]["signatures"][0]
    r, s = decode_dss_signature(base64.b64decode(signature["sig"]))
    signature["sig"] = base64.b64encode(encode_dss_signature(r, ORDER - s)).decode()


def flip(*path, at=0):
    """A change of one bit in what stands at this path of a bundle."""

    def change(bundle):
        *parents, last = path
        for step in parents:
            bundle = bundle[step]
        bundle[last] = flipped(bundle[last], at)

    return change


CHANGES = {
    "receipt": flip("receipt", "payload", at=300),
    "receipt signature": flip("receipt", "signatures", 0, "sig", at=30),
    "high S": high_s,
    "settlement record": flip("settlementRecords", 0, "payload", at=500),
    "key manifest": flip("keyManifest", "payload", at=500),
    "model id": flip("items", 0, "statement", at=40),
    "method": flip("items", 0, "statement", at=66),
    "request commitment": flip("items", 0, "statement", at=100),
    "item JSON": flip("items", 0, "statement", at=250),
    "request": flip("items", 0, "request", at=90),
    "output": flip("items", 0, "output", at=60),
    "leaf salt": lambda bundle: bundle["items"][0]["salts"].update(leaf="00" * 32),
    "request salt": lambda bundle: bundle["items"][0]["salts"].update(request="00" * 32),
    "output salt": lambda bundle: bundle["items"][0]["salts"].update(output="00" * 32),
    "longer path": lambda bundle: bundle["items"][0]["path"].append("00" * 32),
}
