import assert from "node:assert/strict";
import { join } from "node:path";

import { FetchBuyer, askTransaction, boughtTransaction, bundle } from "../lib/buyer.mjs";
import { Token } from "../lib/chain.mjs";
import { digits } from "../lib/assay.mjs";

/** One signed item, two that one proof is of, one in an enclave, one that is built of two others. */
const PRICES = { signed: 1000n, tee: 2000n, zkml: 5000n };

/** Several inferences, each with its own method, under one payment. */
export async function transactions(report, assay) {
  const shop = await assay.serve("transactions", { ASSAY_TEE_ATTESTER: "simulated-nitro" });
  const order = await mixed();
  const price = order.items.reduce((sum, { method }) => sum + PRICES[method], 0n);
  const root = join(assay.folder, "transactions", "tee", "simulated-nitro", "root.pem");
  const { required, response: asked } = await askTransaction(shop.url, order);
  const [{ asset, payTo }] = required.accepts;
  const token = new Token(shop.rpcUrl, asset, shop.accounts[9].key);
  const buyer = new FetchBuyer(await token.payer(10n * price));
  const charges = (amounts, buy) => token.charges(buyer.account.address, payTo, amounts, buy);
  const kept = {};

  await report.test("a 402 for a transaction has the sum, and each item's price in its body", async () => {
    const { quote } = await asked.json();
    const offers = required.accepts.map(({ scheme, amount }) => [scheme, amount]);
    assert.deepEqual(offers, [["exact", String(price)], ["upto", String(price)]]);
    const amounts = quote.items.map(({ id, amounts: [amount] }) => [id, amount]);
    const expected = order.items.map(({ id, method }) => [id, String(PRICES[method])]);
    assert.deepEqual(amounts, expected);
  });

  await report.test("a mixed transaction is bought by one payment, and charged once", async () => {
    const { result, hashes } = await charges([price], async () =>
      boughtTransaction(await buyer.transact(shop.url, order)),
    );
    assert.equal(result.settlement.transaction, hashes[0]);
    const ids = result.items.map(({ id }) => id);
    assert.deepEqual(ids, order.items.map(({ id }) => id));
    kept.items = result.items;
    kept.file = await bundle(shop.url, result.id, result.token);
  });

  await report.test("one bundle verifies elsewhere: every item, and how one was built of others", async () => {
    const verified = await assay.verify(kept.file, ["--development-root", root]);
    assert.deepEqual([verified.code, verified.report.verdict], [3, "simulated"], verified.stderr);
    const methods = verified.report.items.map(({ method }) => method);
    assert.deepEqual(methods, order.items.map(({ method }) => method));
    const items = JSON.parse(kept.file).items;
    const statements = items.map(({ statement }) =>
      JSON.parse(Buffer.from(statement, "base64").subarray(192)),
    );
    const built = statements.at(-1);
    assert.deepEqual(built.dependsOn, [0, 1]);
    const request = JSON.parse(Buffer.from(items.at(-1).request, "base64"));
    const [first, second] = kept.items.map(({ outputs }) => outputs[0].data);
    assert.deepEqual(request.inputs[0].data.slice(0, 2), [first[3], second[4]]);
    // One proof for both items of one model, and a claim for each.
    const [one, other] = statements.filter(({ method }) => method === "zkml");
    const digests = ({ evidence }) => evidence.map(({ sha256 }) => sha256);
    assert.deepEqual(digests(one).slice(0, 2), digests(other).slice(0, 2));
    assert.notEqual(digests(one)[2], digests(other)[2]);
  });

  await report.test("an item that cannot be bought is named, and nobody is charged", async () => {
    const wrong = structuredClone(order);
    wrong.items.at(-1).input.inputs[0].data[0].pointer = "/outputs/0/data/10";
    await charges([], async () => {
      const response = await buyer.transact(shop.url, wrong);
      const { code, item } = await response.json();
      assert.deepEqual([response.status, code, item], [400, "invalid_reference", "built"]);
    });
  });

  await report.test("what failed is not charged: paid by upto, by who never gave Permit2 an allowance", async () => {
    const uptoBuyer = new FetchBuyer(await token.payer(10n * price), shop.rpcUrl);
    const each = { ...(await failing()), outcomePolicy: "each" };
    const charged = PRICES.signed + PRICES.tee + PRICES.zkml;
    const uptoCharges = (amounts, buy) =>
      token.charges(uptoBuyer.account.address, payTo, amounts, buy);
    const { result, hashes } = await uptoCharges([charged], async () =>
      boughtTransaction(await uptoBuyer.transact(shop.url, each)),
    );
    assert.deepEqual(
      [result.settlement.transaction, result.settlement.amount],
      [hashes[0], String(charged)],
    );
    const outcomes = result.items.map(({ id, failed }) => [id, failed?.reason, failed?.charged]);
    assert.deepEqual(outcomes, [
      ["plain", undefined, undefined],
      ["vault", undefined, undefined],
      ["wrong", "uncertifiable_input", false],
      ["after", "source_failed", false],
      ["short", "timeout_below_floor", true],
    ]);
    const file = await bundle(shop.url, result.id, result.token);
    const verified = await assay.verify(file, ["--development-root", root]);
    assert.deepEqual([verified.code, verified.report.verdict], [3, "simulated"], verified.stderr);
    const { authorized, settled } = verified.report.payment;
    assert.deepEqual([authorized, settled], [String(charged + 2n * PRICES.zkml), String(charged)]);
  });

  await shop.daemon.stop();
}

/** Two good items, one whose input turns out to be none, one that refers to it, one given no time. */
async function failing() {
  const input = async (sample) => ({ inputs: (await digits(sample)).inputs });
  const built = async (from, pointer) => {
    const asked = await input(2);
    asked.inputs[0].data[0] = { $from: from, pointer };
    return asked;
  };
  const wrong = await built("plain", "/outputs/0/data/0");
  const after = await built("wrong", "/outputs/0/data/0");
  return {
    items: [
      { id: "plain", model: "digits", method: "signed", input: await input(0) },
      { id: "vault", model: "digits", method: "tee", input: await input(1) },
      { id: "wrong", model: "digits", method: "zkml", input: wrong },
      { id: "after", model: "digits", method: "zkml", input: after },
      { id: "short", model: "digits", method: "zkml", input: await input(3), timeoutMs: 1 },
    ],
  };
}

async function mixed() {
  const input = async (sample) => ({ inputs: (await digits(sample)).inputs });
  const data = Array.from({ length: 30 }, (_, index) => index + 0.5);
  data[0] = { $from: "plain", pointer: "/outputs/0/data/3" };
  data[1] = { $from: "vault", pointer: "/outputs/0/data/4" };
  const features = { name: "features", shape: [1, 30], datatype: "FP32", data };
  return {
    items: [
      { id: "plain", model: "digits", method: "signed", input: await input(0) },
      { id: "vault", model: "digits", method: "tee", input: await input(1) },
      { id: "one", model: "digits", method: "zkml", input: await input(2) },
      { id: "other", model: "digits", method: "zkml", input: await input(3) },
      { id: "built", model: "tumour", method: "signed", input: { inputs: [features] } },
    ],
  };
}
