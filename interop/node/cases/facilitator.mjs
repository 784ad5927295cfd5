import assert from "node:assert/strict";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import { decodePaymentResponseHeader } from "@x402/fetch";
import express from "express";

import { digits } from "../lib/assay.mjs";
import { FetchBuyer, PRICE, bought, bundle } from "../lib/buyer.mjs";
import { Token } from "../lib/chain.mjs";
import { listen } from "../lib/http.mjs";

const NETWORK = "eip155:31337";
const DOMAIN = { name: "Assay Development Dollar", version: "1" };

/** Our facilitator under x402's own servers, and under our own gateway. */
export async function facilitator(report, assay) {
  const chain = await assay.devchain();
  const token = new Token(chain.rpcUrl, chain.token, chain.accounts[9].key);
  const payTo = chain.accounts[1].address;
  const ours = await assay.facilitator(chain.rpcUrl, chain.token, ["--pay-to", payTo]);
  const client = new HTTPFacilitatorClient({ url: ours.url });
  const offer = {
    scheme: "exact",
    network: NETWORK,
    amount: "4321",
    asset: chain.token,
    payTo,
    maxTimeoutSeconds: 60,
    extra: DOMAIN,
  };
  const required = { x402Version: 2, resource: { url: "http://127.0.0.1/paid" }, accepts: [offer] };

  await report.test("@x402/core reads /supported", async () => {
    const { kinds, signers } = await client.getSupported();
    const exact = kinds.find((kind) => kind.scheme === "exact" && kind.network === NETWORK);
    assert.equal(exact.x402Version, 2);
    assert.deepEqual(signers["eip155:*"], [ours.settler]);
  });

  await report.test(
    "/verify accepts a payment and charges nothing; changed, it refuses",
    async () => {
      const buyer = new FetchBuyer(await token.payer(4321n));
      const { payload } = await buyer.sign(required);
      await token.charges(buyer.account.address, payTo, [], async () => {
        const good = await client.verify(payload, offer);
        assert.equal(good.isValid, true, JSON.stringify(good));
        assert.equal(good.payer, buyer.account.address);
        const dearer = await client.verify(payload, { ...offer, amount: "4322" });
        assert.equal(dearer.isValid, false);
        const forged = structuredClone(payload);
        forged.payload.authorization.validBefore = String(
          Number(forged.payload.authorization.validBefore) - 1,
        );
        const refused = await client.verify(forged, offer);
        assert.deepEqual(
          [refused.isValid, refused.invalidReason],
          [false, "invalid_exact_evm_signature"],
        );
      });
    },
  );

  await report.test("/settle moves the money once, however often it is asked", async () => {
    const buyer = new FetchBuyer(await token.payer(10_000n));
    const { payload } = await buyer.sign(required);
    const { result, hashes } = await token.charges(buyer.account.address, payTo, [4321n], () =>
      Promise.all([1, 2, 3].map(() => client.settle(payload, offer))),
    );
    for (const response of [...result, await client.settle(payload, offer)]) {
      assert.equal(response.success, true, JSON.stringify(response));
      assert.equal(response.transaction, hashes[0]);
      assert.equal(response.payer, buyer.account.address);
    }
  });

  await report.test("/settle refuses other recipients than it was told of", async () => {
    const buyer = new FetchBuyer(await token.payer(10_000n));
    const elsewhere = { ...offer, payTo: chain.accounts[5].address };
    const { payload } = await buyer.sign({ ...required, accepts: [elsewhere] });
    await token.charges(buyer.account.address, elsewhere.payTo, [], async () => {
      const response = await client.settle(payload, elsewhere);
      assert.equal(response.success, false);
    });
  });

  const server = await listen(paidServer(client, chain.token, payTo));

  await report.test("an @x402/express server that uses it is paid by @x402/fetch", async () => {
    const buyer = new FetchBuyer(await token.payer(500n));
    const { hashes } = await token.charges(buyer.account.address, payTo, [500n], async () => {
      const response = await buyer.fetch(`${server.url}/v2/models/digits/infer`, {
        method: "POST",
      });
      const text = await response.text();
      assert.equal(response.status, 200, text);
      assert.deepEqual(JSON.parse(text), { outputs: [] });
      const settlement = decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));
      assert.equal(settlement.success, true);
    });
    assert.equal(hashes.length, 1);
  });

  await report.test(
    "assay infer pays that server, and refuses an answer that comes without a receipt",
    async () => {
      const payer = chain.accounts[3].address;
      const { result } = await token.charges(payer, payTo, [500n], async () =>
        assay.infer(server.url, await digits(0), ["--development-account", "3"]),
      );
      assert.equal(result.code, 1, result.stderr);
      assert.match(result.stderr, /200 OK that names no transaction/);
    },
  );

  const shop = await assay.serve("facilitator", {
    ASSAY_FACILITATOR_URL: ours.url,
    ASSAY_RPC_URL: chain.rpcUrl,
  });

  await report.test("assay serve sells through it to @x402/fetch", async () => {
    const request = await digits(3);
    const buyer = new FetchBuyer(await token.payer(PRICE));
    const payer = buyer.account.address;
    const { result, hashes } = await token.charges(payer, payTo, [PRICE], async () =>
      bought(await buyer.infer(shop.url, request)),
    );
    const file = await bundle(shop.url, result.id, result.token);
    await assay.assertSimulated(file, {
      payer,
      payTo,
      amount: PRICE,
      transaction: hashes[0],
      input: request,
    });
  });

  await report.test("assay serve sells through it to assay infer", async () => {
    const payer = chain.accounts[4].address;
    const { result, hashes } = await token.charges(payer, payTo, [PRICE], async () =>
      assay.infer(shop.url, await digits(4), ["--development-account", "4"]),
    );
    assert.equal(result.code, 0, result.stderr);
    assert.equal(result.bought.settlement.transaction, hashes[0]);
  });

  await report.test("with the facilitator gone nothing is sold, and nothing charged", async () => {
    await ours.daemon.stop();
    const buyer = new FetchBuyer(await token.payer(PRICE));
    await token.charges(buyer.account.address, payTo, [], async () => {
      const response = await buyer.infer(shop.url, await digits(3));
      assert.equal(response.status, 502);
      assert.equal((await response.json()).code, "chain_unreachable");
    });
  });

  await report.test("gateway and chain stop on SIGTERM with exit code 0", async () => {
    await server.close();
    await shop.daemon.stop();
    await chain.daemon.stop();
  });
}

/** A server by others that sells something under the path of an inference, but no receipts. */
function paidServer(client, asset, payTo) {
  const resources = new x402ResourceServer(client).register(NETWORK, new ExactEvmScheme());
  const price = { asset, amount: "500", extra: { ...DOMAIN, method: "signed" } };
  const routes = {
    "POST /v2/models/digits/infer": {
      accepts: { scheme: "exact", network: NETWORK, payTo, price, maxTimeoutSeconds: 60 },
      description: "nothing much",
    },
  };
  const app = express();
  const inputs = [{ name: "image", datatype: "FP32", shape: [1, 1, 8, 8] }];
  app.get("/v2/models/digits", (_, response) => response.json({ name: "digits", inputs }));
  app.use(paymentMiddleware(routes, resources));
  app.post("/v2/models/digits/infer", (_, response) => response.json({ outputs: [] }));
  return app;
}
