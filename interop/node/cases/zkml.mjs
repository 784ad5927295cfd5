import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import { FetchBuyer, ask, bought, bundle } from "../lib/buyer.mjs";
import { Token } from "../lib/chain.mjs";
import { digits } from "../lib/assay.mjs";

const ZKML_PRICE = 5000n;
const STAGES = ["witness", "commitment", "lookups", "layers", "weights", "opening"];
const KINDS = ["verifying", "proof", "claim"].map((of) => `application/vnd.assay.zkml-${of}.v1`);

/** A gateway that sells proofs. */
export async function zkml(report, assay) {
  const shop = await assay.serve("zkml", {});
  const input = await digits(0);
  const { required } = await ask(shop.url, input);
  const [{ asset, payTo }] = required.accepts;
  const token = new Token(shop.rpcUrl, asset, shop.accounts[9].key);
  const buyer = new FetchBuyer(await token.payer(10n * ZKML_PRICE));
  const charges = (buy) => token.charges(buyer.account.address, payTo, [ZKML_PRICE], buy);
  const kept = {};

  await report.test("a 402 offers `signed` first, and then `zkml`", () => {
    const methods = required.accepts.map((offer) => offer.extra.method);
    assert.deepEqual(methods, ["signed", "zkml"]);
  });

  await report.test("who chooses the offer of `zkml` is given a proof and charged once", async () => {
    const offers = new FetchBuyer(buyer.account);
    // As @x402/fetch lets a client choose among the offers it can pay.
    offers.client.registerPolicy((_version, accepts) =>
      accepts.filter((offer) => offer.extra.method === "zkml"),
    );
    const { result, hashes } = await charges(async () =>
      bought(await offers.infer(shop.url, input)),
    );
    assert.equal(result.settlement.transaction, hashes[0]);
    kept.file = await bundle(shop.url, result.id, result.token);
    kept.bundle = JSON.parse(kept.file);
  });

  await report.test("the bundle verifies elsewhere, and pins the program of the catalogue", async () => {
    const verified = await assay.verify(kept.file);
    assert.deepEqual([verified.code, verified.report.verdict], [3, "simulated"], verified.stderr);
    const [item] = verified.report.items;
    assert.equal(item.believe, "mathematics and a hash function");
    const catalogue = await (await fetch(`${shop.url}/v1/models`)).json();
    const model = catalogue.models.find(({ name }) => name === "digits");
    const sold = model.methods.find(({ method }) => method === "zkml");
    assert.equal(item.model.id, sold.program);
    const verifying = await fetch(`${shop.url}/v1/evidence/${sold.program}`);
    const file = Buffer.from(await verifying.arrayBuffer());
    assert.equal(createHash("sha256").update(file).digest("hex"), sold.program);
    // The proof is the buyer's: nobody else is given it.
    const statement = JSON.parse(Buffer.from(kept.bundle.items[0].statement, "base64").subarray(192));
    assert.deepEqual(statement.evidence.map(({ type }) => type), KINDS);
    const [, proof, claim] = statement.evidence;
    for (const { sha256 } of [proof, claim]) {
      assert.equal((await fetch(`${shop.url}/v1/evidence/${sha256}`)).status, 404);
    }
  });

  await report.test("who takes events is told the stages of the prover, and the result", async () => {
    const headers = { "Assay-Method": "zkml", Accept: "text/event-stream" };
    const { result } = await charges(async () => {
      const response = await buyer.infer(shop.url, input, headers);
      assert.equal(response.status, 200);
      return events(await response.text());
    });
    const told = result.filter(({ name, data }) => name === "progress" && data.stage !== undefined);
    const stages = told.map(({ data }) => data.stage);
    // Whoever reads slowly misses some; what is told is told in order.
    assert.ok(stages.length > 0 && stages.every((stage) => STAGES.includes(stage)), stages.join());
    const places = stages.map((stage) => STAGES.indexOf(stage));
    assert.deepEqual(places, [...new Set(places)].sort((a, b) => a - b));
    const last = result.at(-1);
    assert.equal(last.name, "result");
    assert.equal(last.data.response.outputs[0].data.length, 10);
  });

  await report.test("an input that the program cannot take is refused, and nobody is charged", async () => {
    const bright = structuredClone(input);
    bright.inputs[0].data[0] = 17;
    await token.charges(buyer.account.address, payTo, [], async () => {
      const response = await buyer.infer(shop.url, bright, { "Assay-Method": "zkml" });
      assert.equal(response.status, 400);
      assert.equal((await response.json()).code, "uncertifiable_input");
    });
  });

  await shop.daemon.stop();
}

/** Reads server-sent events. */
function events(text) {
  const blocks = text.split("\n\n").filter((block) => block.startsWith("event:"));
  return blocks.map((block) => {
    const [event, ...data] = block.split("\n");
    const content = data.map((line) => line.replace(/^data: ?/, "")).join("\n");
    return { name: event.replace(/^event: ?/, ""), data: JSON.parse(content) };
  });
}
