import assert from "node:assert/strict";
import { createHash, createHmac, createPublicKey, verify } from "node:crypto";
import { join } from "node:path";

import { FetchBuyer, ask, bought, bundle } from "../lib/buyer.mjs";
import { Token } from "../lib/chain.mjs";
import { digits } from "../lib/assay.mjs";

const TEE_PRICE = 2000n;

/** A gateway that sells what a simulated enclave ran; checked by other code than ours. */
export async function tee(report, assay) {
  const shop = await assay.serve("tee", { ASSAY_TEE_ATTESTER: "simulated-nitro" });
  const root = join(assay.folder, "tee", "tee", "simulated-nitro", "root.pem");
  const input = await digits(0);
  const { required } = await ask(shop.url, input);
  const [{ asset, payTo }] = required.accepts;
  const token = new Token(shop.rpcUrl, asset, shop.accounts[9].key);
  const buyer = new FetchBuyer(await token.payer(10n * TEE_PRICE));
  const kept = {};

  await report.test("a 402 offers `signed` first, then `tee` and `zkml`", async () => {
    const methods = required.accepts.map((offer) => offer.extra.method);
    assert.deepEqual(methods, ["signed", "tee", "zkml"]);
  });

  await report.test("who asks for `tee` is offered nothing else, buys it and is charged once", async () => {
    const { result, hashes } = await token.charges(
      buyer.account.address,
      payTo,
      [TEE_PRICE],
      async () => bought(await buyer.infer(shop.url, input, { "Assay-Method": "tee" })),
    );
    assert.equal(result.settlement.transaction, hashes[0]);
    kept.file = await bundle(shop.url, result.id, result.token);
    kept.bundle = JSON.parse(kept.file);
  });

  await report.test("the bundle is simulated under its root, and refused without it", async () => {
    const under = await assay.verify(kept.file, ["--development-root", root]);
    assert.deepEqual([under.code, under.report.verdict], [3, "simulated"], under.stderr);
    assert.equal(under.report.items[0].method, "tee");
    const without = await assay.verify(kept.file);
    assert.deepEqual([without.code, without.report.refusal.check], [1, "item.certification"]);
  });

  await report.test("the enclave's signature and commitments hold by the format's description", () => {
    const [item] = kept.bundle.items;
    const [attestation, envelope] = kept.bundle.evidence.map((blob) => {
      const content = Buffer.from(blob.content, "base64");
      assert.equal(createHash("sha256").update(content).digest("hex"), blob.sha256);
      return JSON.parse(content);
    });
    const payload = Buffer.from(envelope.payload, "base64");
    const key = createPublicKey({
      key: Buffer.from(attestation.binding.epochKey, "base64"),
      format: "der",
      type: "spki",
    });
    const type = "application/vnd.assay.enclave-statement.v1+json";
    assert.equal(envelope.payloadType, type);
    const header = `DSSEv1 ${type.length} ${type} ${payload.length} `;
    const signed = Buffer.concat([Buffer.from(header), payload]);
    const signature = Buffer.from(envelope.signatures[0].sig, "base64");
    assert.ok(verify("sha256", signed, key, signature));
    const statement = JSON.parse(payload);
    for (const [name, what] of [["request", item.request], ["output", item.output]]) {
      const expected = commitment(name, item.salts[name], Buffer.from(what, "base64"));
      assert.equal(statement[`${name}Commitment`], expected, name);
    }
    assert.equal(statement.scope, "model");
    assert.deepEqual(statement.model.engine, attestation.binding.configuration.engine);
    assert.ok(attestation.binding.configuration.models.includes(statement.model.package));
    // The hardware's document has the hash of all that is bound, and the key.
    const document = Buffer.from(attestation.evidence.document, "base64");
    assert.ok(document.includes(bindingHash(attestation.binding)));
    assert.ok(document.includes(Buffer.from(attestation.binding.epochKey, "base64")));
  });

  await report.test("GET /v1/attestation answers a nonce of one's own", async () => {
    const nonce = "8899aabbccddeeff0011";
    const response = await fetch(`${shop.url}/v1/attestation?nonce=${nonce}`);
    assert.equal(response.status, 200);
    const attestation = await response.json();
    assert.equal(response.headers.get("Content-Type"), attestation.mediaType);
    assert.equal(Buffer.from(attestation.binding.nonce, "base64").toString("hex"), nonce);
    const document = Buffer.from(attestation.evidence.document, "base64");
    assert.ok(document.includes(bindingHash(attestation.binding)));
  });

  await shop.daemon.stop();
}

function commitment(name, salt, bytes) {
  const domain = Buffer.alloc(32);
  domain.write(`assay ${name} commitment v1`);
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(bytes.length));
  const hmac = createHmac("sha256", Buffer.from(salt, "hex"));
  return hmac.update(domain).update(length).update(bytes).digest("hex");
}

function bindingHash(binding) {
  const millis = (time) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(Date.parse(time)));
    return bytes;
  };
  const base64 = (text) => (text === null ? Buffer.alloc(0) : Buffer.from(text, "base64"));
  assert.deepEqual([binding.tlsKey, binding.beacon], [null, null]);
  const configuration = JSON.stringify(binding.configuration);
  const hash = createHash("sha512").update("assay/tee-bind/v1");
  for (const field of [
    base64(binding.epochKey),
    base64(binding.hpkeKey),
    Buffer.alloc(0),
    millis(binding.notBefore),
    millis(binding.notAfter),
    createHash("sha256").update(configuration).digest(),
    Buffer.alloc(0),
    base64(binding.nonce),
  ]) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(field.length));
    hash.update(length).update(field);
  }
  return hash.digest();
}
