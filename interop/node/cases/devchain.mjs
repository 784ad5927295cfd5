import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";

import { FetchBuyer, PRICE, ask, bought, bundle, refusal, send } from "../lib/buyer.mjs";
import { Token } from "../lib/chain.mjs";
import { digits } from "../lib/assay.mjs";

/** A gateway that runs the chain it is paid on. */
export async function devchain(report, assay) {
  let shop = await assay.serve("devchain");
  const [first, second] = [await digits(0), await digits(1)];
  const { required } = await ask(shop.url, first);
  const [{ asset, payTo }] = required.accepts;
  const token = new Token(shop.rpcUrl, asset, shop.accounts[9].key);
  const buyer = new FetchBuyer(await token.payer(100n * PRICE));
  const payer = buyer.account.address;
  const [kept, used] = [{}, {}];

  await report.test("the 402 follows the schema of @x402/core and is not cached", async () => {
    const { response } = await ask(shop.url, first);
    assert.equal(response.headers.get("Cache-Control"), "no-store");
    assert.deepEqual((await response.json()).accepts, required.accepts);
    assert.equal(required.accepts[0].amount, String(PRICE));
    assert.equal(payTo, shop.payTo);
  });

  await report.test("an inference is bought, charged once, and its bundle verifies", async () => {
    const { result, hashes } = await token.charges(payer, payTo, [PRICE], async () =>
      bought(await buyer.infer(shop.url, first)),
    );
    assert.equal(result.settlement.transaction, hashes[0]);
    assert.equal(result.settlement.payer, payer);
    const file = await bundle(shop.url, result.id, result.token);
    const expected = { payer, payTo, amount: PRICE, transaction: hashes[0], input: first };
    await assay.assertSimulated(file, expected);
    Object.assign(kept, result, { file, expected });
  });

  await report.test(
    "the bundle is refused with another input, and with any of its parts changed",
    async () => {
      const other = await assay.verify(kept.file, [
        "--input",
        await assay.file("other.json", JSON.stringify(second)),
      ]);
      assert.equal(other.code, 1);
      assert.equal(other.report.verdict, "refused");
      for (const [part, change] of Object.entries(CHANGES)) {
        const changed = JSON.parse(kept.file);
        change(changed);
        const { code } = await assay.verify(Buffer.from(JSON.stringify(changed)));
        assert.ok([1, 2].includes(code), `${part}: exit code ${code}`);
      }
      const unsettled = JSON.parse(kept.file);
      unsettled.settlementRecords = [];
      const { report: read } = await assay.verify(Buffer.from(JSON.stringify(unsettled)));
      assert.deepEqual([read.payment.state, read.payment.settled], ["authorized", "0"]);
    },
  );

  await report.test(
    "the bundle opens to its access token alone, the receipt to anyone",
    async () => {
      const url = `${shop.url}/v1/receipts/${kept.id}`;
      const wrong = await fetch(url, {
        headers: { Authorization: `Bearer ${randomBytes(32).toString("hex")}` },
      });
      assert.equal(wrong.status, 403);
      const open = await (await fetch(url)).json();
      assert.equal(open.state, "settled");
      assert.deepEqual(open.receipt, JSON.parse(kept.file).receipt);
      assert.ok(!JSON.stringify(open).includes("salts"));
    },
  );

  await report.test("a client's own access token opens its bundle", async () => {
    const own = randomBytes(32).toString("hex");
    const hash = createHash("sha256").update(Buffer.from(own, "hex")).digest("hex");
    const { result } = await token.charges(payer, payTo, [PRICE], async () =>
      bought(
        await buyer.infer(shop.url, second, {
          "Assay-Access-Token-Hash": hash,
          "Assay-Nonce": "interop-1",
        }),
      ),
    );
    assert.equal(result.token, null);
    const { report: read } = await assay.verify(await bundle(shop.url, result.id, own));
    assert.equal(read.nonce, "interop-1");
  });

  await report.test("a page of another origin may pay and fetch the bundle", async () => {
    const asked = {
      [`${shop.url}/v2/models/digits/infer`]: ["POST", "payment-signature"],
      [`${shop.url}/v1/receipts/${kept.id}`]: ["GET", "authorization"],
    };
    for (const [url, [method, name]] of Object.entries(asked)) {
      const headers = {
        Origin: "https://shop.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": name,
      };
      const { headers: allowed } = await fetch(url, { method: "OPTIONS", headers });
      assert.ok(allowed.get("Access-Control-Allow-Methods").includes(method), method);
      // By the Fetch standard `*` stands for every header but Authorization.
      const list = allowed.get("Access-Control-Allow-Headers").toLowerCase().split(/, */);
      assert.ok(list.includes(name) || (list.includes("*") && name !== "authorization"), name);
    }
    const { response } = await ask(shop.url, first);
    const exposed = response.headers
      .get("Access-Control-Expose-Headers")
      .toLowerCase()
      .split(/, */);
    for (const name of EXPOSED) assert.ok(exposed.includes(name), name);
  });

  await report.test("one payment sent eight times at once buys once", async () => {
    used.header = (await buyer.sign(required)).header;
    const paid = { "PAYMENT-SIGNATURE": used.header };
    await token.charges(payer, payTo, [PRICE], async () => {
      const race = await Promise.all(Array.from({ length: 8 }, () => send(shop.url, first, paid)));
      const statuses = race.map((response) => response.status).sort();
      assert.deepEqual(statuses, [200, ...Array(7).fill(409)]);
    });
  });

  await report.test(
    "a used payment buys nothing, and nobody is asked to sign another for it",
    async () => {
      const paid = { "PAYMENT-SIGNATURE": used.header };
      await token.charges(payer, payTo, [], async () => {
        const again = await send(shop.url, first, paid);
        assert.deepEqual([again.status, (await again.json()).code], [409, "payment_already_used"]);
        assert.match(again.headers.get("Assay-Transaction"), /^[0-9a-f-]{36}$/);
        assert.equal(again.headers.get("PAYMENT-REQUIRED"), null);
        // Without a token nobody is told whether it was for this request.
        const other = await send(shop.url, second, paid);
        assert.deepEqual([other.status, (await other.json()).code], [409, "payment_already_used"]);
        const token = { ...paid, "Assay-Access-Token-Hash": "00".repeat(32) };
        const third = await send(shop.url, second, token);
        assert.deepEqual(
          [third.status, (await third.json()).code],
          [409, "payment_bound_to_other_request"],
        );
        assert.equal(third.headers.get("Assay-Transaction"), null);
      });
    },
  );

  await report.test("six buyers at once are charged once each", async () => {
    const buyers = [];
    while (buyers.length < 6) buyers.push(new FetchBuyer(await token.payer(PRICE)));
    const results = await Promise.all(
      buyers.map(async (one) => bought(await one.infer(shop.url, first))),
    );
    assert.equal(new Set(results.map(({ id }) => id)).size, 6);
    for (const one of buyers) {
      assert.equal(await token.balance(one.account.address), 0n);
      assert.equal((await token.transfers(one.account.address, 0n)).length, 1);
    }
    for (const { logits } of results) assert.deepEqual(logits, kept.logits);
  });

  await report.test("who has no money gets a 402 that says so, and no result", async () => {
    const poor = new FetchBuyer(await token.payer(0n));
    await token.charges(poor.account.address, payTo, [], async () => {
      const response = await poor.infer(shop.url, first);
      assert.equal(refusal(response), "invalid_exact_evm_insufficient_balance");
    });
  });

  await report.test("a changed amount, recipient or signature buys nothing", async () => {
    await token.charges(payer, payTo, [], async () => {
      for (const change of FORGERIES) {
        const payload = structuredClone((await buyer.sign(required)).payload);
        change(payload);
        const header = Buffer.from(JSON.stringify(payload)).toString("base64");
        const response = await send(shop.url, first, { "PAYMENT-SIGNATURE": header });
        assert.equal(response.status, 402, change.name);
      }
    });
  });

  await report.test(
    "after a restart the chain goes on, the bundle is there and the payment still used",
    async () => {
      await token.charges(payer, payTo, [], async () => {
        await shop.daemon.stop();
        const [listen, chain] = [shop.url, shop.rpcUrl].map((url) => new URL(url).host);
        shop = await assay.serve("devchain", {
          ASSAY_LISTEN: listen,
          ASSAY_DEVCHAIN_LISTEN: chain,
        });
        const again = await send(shop.url, first, { "PAYMENT-SIGNATURE": used.header });
        assert.notEqual(again.status, 200);
      });
      assert.deepEqual(await bundle(shop.url, kept.id, kept.token), kept.file);
      const { result } = await token.charges(payer, payTo, [PRICE], async () =>
        bought(await buyer.infer(shop.url, first)),
      );
      await bundle(shop.url, result.id, result.token);
    },
  );

  await report.test("it stops on SIGTERM with exit code 0", () => shop.daemon.stop());
}

/** The headers of an answer that a buyer's script has to read. */
const EXPOSED = ["payment-required", "payment-response", "assay-access-token", "assay-transaction"];

/** One change for each part of a bundle; none may pass. */
const CHANGES = {
  "the receipt's payload": (b) => (b.receipt.payload = flipped(b.receipt.payload, 200)),
  "the receipt's signature": (b) =>
    (b.receipt.signatures[0].sig = flipped(b.receipt.signatures[0].sig, 20)),
  "a settlement record": (b) =>
    (b.settlementRecords[0].payload = flipped(b.settlementRecords[0].payload, 700)),
  "the key manifest": (b) => (b.keyManifest.payload = flipped(b.keyManifest.payload, 300)),
  "the item statement": (b) => (b.items[0].statement = flipped(b.items[0].statement, 40)),
  "the request": (b) => (b.items[0].request = flipped(b.items[0].request, 80)),
  "the output": (b) => (b.items[0].output = flipped(b.items[0].output, 80)),
  "a salt": (b) => (b.items[0].salts.leaf = "00".repeat(32)),
  "no item": (b) => (b.items = []),
};

/** Payments that were not signed as they are sent. */
const FORGERIES = [
  function smallerAmount({ accepted, payload }) {
    accepted.amount = payload.authorization.value = "1";
  },
  function otherRecipient({ accepted, payload }) {
    accepted.payTo = payload.authorization.to = payload.authorization.from;
  },
  function otherSigner({ payload }) {
    payload.authorization.from = "0x000000000000000000000000000000000000dEaD";
  },
  function longerValidity({ payload }) {
    payload.authorization.validBefore = String(Number(payload.authorization.validBefore) + 10);
  },
];

/** Changes one bit of one byte of what is encoded in base64. */
function flipped(base64, at) {
  const bytes = Buffer.from(base64, "base64");
  bytes[Math.min(at, bytes.length - 1)] ^= 1;
  return bytes.toString("base64");
}
