import assert from "node:assert/strict";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

import { digits, priceList, tokenArtifact, uptoContracts } from "../lib/assay.mjs";
import { FetchBuyer, bought, boughtTransaction, bundle } from "../lib/buyer.mjs";
import { Token } from "../lib/chain.mjs";
import { startAnvil } from "../lib/process.mjs";

/** Anvil's first account; its key is public. */
const FUNDER = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const PRICE = 2345n;

/** A gateway on a chain of others' making, with a token, prices and keys of its operator's. */
export async function anvil(report, assay) {
  const { anvil: chain, rpcUrl } = await startAnvil();
  try {
    const token = await Token.deploy(rpcUrl, FUNDER, await tokenArtifact());
    for (const [address, { deployedBytecode }] of await uptoContracts())
      await token.client.request({ method: "anvil_setCode", params: [address, deployedBytecode] });
    const payTo = privateKeyToAccount(generatePrivateKey()).address;
    const shop = await assay.serve("anvil", {
      ASSAY_NETWORK: "eip155:31337",
      ASSAY_PAY_TO: payTo,
      ASSAY_PRICES: await assay.file("prices.toml", priceList(token.address)),
      ASSAY_RPC_URL: rpcUrl,
      ASSAY_SETTLEMENT_KEY: await token.settlerKey(),
    });
    const request = await digits(2);

    await report.test("@x402/fetch buys for the price in prices.toml, charged once", async () => {
      const buyer = new FetchBuyer(await token.payer(PRICE));
      const payer = buyer.account.address;
      const { result, hashes } = await token.charges(payer, payTo, [PRICE], async () =>
        bought(await buyer.infer(shop.url, request)),
      );
      assert.equal(result.settlement.transaction, hashes[0]);
      const file = await bundle(shop.url, result.id, result.token);
      await assay.assertSimulated(file, {
        payer,
        payTo,
        amount: PRICE,
        transaction: hashes[0],
        input: request,
      });
    });

    await report.test("@x402/fetch pays by upto: what failed is not charged", async () => {
      const buyer = new FetchBuyer(await token.payer(2n * PRICE), rpcUrl);
      // Finite, and what the model makes of it is not.
      const data = Array.from({ length: 30 }, (_, index) => (index % 2 ? 3e38 : -3e38));
      const wrong = { inputs: [{ name: "features", shape: [1, 30], datatype: "FP32", data }] };
      const item = (id, model, { inputs }) => ({ id, model, method: "signed", input: { inputs } });
      const each = {
        items: [item("good", "digits", request), item("wrong", "tumour", wrong)],
        outcomePolicy: "each",
      };
      const { result, hashes } = await token.charges(
        buyer.account.address,
        payTo,
        [PRICE],
        async () => boughtTransaction(await buyer.transact(shop.url, each)),
      );
      const { transaction, amount } = result.settlement;
      assert.deepEqual([transaction, amount], [hashes[0], String(PRICE)]);
      const reasons = result.items.map(({ failed }) => failed?.reason);
      assert.deepEqual(reasons, [undefined, "inference_failed"]);
    });

    await report.test(
      "assay infer buys, charged once, and keeps a bundle that verifies",
      async () => {
        const key = await token.payerKey(PRICE);
        const payer = privateKeyToAccount(key).address;
        const asset = ["--asset", `eip155:31337/erc20:${token.address}`];
        const { result, hashes } = await token.charges(payer, payTo, [PRICE], () =>
          assay.infer(shop.url, request, asset, { ASSAY_PAYER_KEY: key }),
        );
        assert.equal(result.code, 0, result.stderr);
        assert.equal(result.bought.settlement.transaction, hashes[0]);
        await assay.assertSimulated(result.bundle, {
          payer,
          payTo,
          amount: PRICE,
          transaction: hashes[0],
          input: request,
        });
      },
    );

    await report.test(
      "assay infer pays nothing above its spend cap, or in a token it was not told of",
      async () => {
        const key = await token.payerKey(PRICE);
        const payer = privateKeyToAccount(key).address;
        const asset = ["--asset", `eip155:31337/erc20:${token.address}`];
        const env = { ASSAY_PAYER_KEY: key };
        await token.charges(payer, payTo, [], async () => {
          const capped = await assay.infer(
            shop.url,
            request,
            [...asset, "--max-amount", "2344"],
            env,
          );
          assert.notEqual(capped.code, 0);
          assert.match(capped.stderr, /exceeds the spend cap 2344/);
          const unknown = await assay.infer(shop.url, request, [], env);
          assert.notEqual(unknown.code, 0);
          assert.match(unknown.stderr, /has no spend cap/);
        });
      },
    );

    await report.test("it stops on SIGTERM with exit code 0", () => shop.daemon.stop());
  } finally {
    await chain.kill();
  }
}
