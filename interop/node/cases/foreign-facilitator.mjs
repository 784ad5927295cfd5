import assert from "node:assert/strict";
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { registerExactEvmScheme } from "@x402/evm/exact/facilitator";
import express from "express";
import { createWalletClient, http, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

import { digits } from "../lib/assay.mjs";
import { FetchBuyer, PRICE, bought, bundle, refusal } from "../lib/buyer.mjs";
import { Token } from "../lib/chain.mjs";
import { listen } from "../lib/http.mjs";

/** Our gateway under x402's own facilitator. */
export async function foreignFacilitator(report, assay) {
  const chain = await assay.devchain();
  const token = new Token(chain.rpcUrl, chain.token, chain.accounts[9].key);
  const answers = [];
  const server = await listen(app(chain.rpcUrl, chain.accounts[6].key, answers));
  const shop = await assay.serve("foreign-facilitator", {
    ASSAY_FACILITATOR_URL: server.url,
    ASSAY_RPC_URL: chain.rpcUrl,
  });
  const request = await digits(5);

  await report.test(
    "an inference is settled by it, charged once, and its bundle verifies",
    async () => {
      const buyer = new FetchBuyer(await token.payer(PRICE));
      const payer = buyer.account.address;
      const { result, hashes } = await token.charges(payer, shop.payTo, [PRICE], async () =>
        bought(await buyer.infer(shop.url, request)),
      );
      assert.deepEqual(
        answers.map(({ step }) => step),
        ["verify", "settle"],
      );
      const file = await bundle(shop.url, result.id, result.token);
      const expected = {
        payer,
        payTo: shop.payTo,
        amount: PRICE,
        transaction: hashes[0],
        input: request,
      };
      await assay.assertSimulated(file, expected);
    },
  );

  await report.test("what it refuses is answered with 402 and its reason", async () => {
    const poor = new FetchBuyer(await token.payer(0n));
    await token.charges(poor.account.address, shop.payTo, [], async () => {
      const response = await poor.infer(shop.url, request);
      const { invalidReason } = answers.at(-1).answer;
      assert.equal(refusal(response), invalidReason);
    });
  });

  await report.test("gateway and chain stop on SIGTERM with exit code 0", async () => {
    await shop.daemon.stop();
    await server.close();
    await chain.daemon.stop();
  });
}

function app(rpcUrl, key, answers) {
  const account = privateKeyToAccount(key);
  const transport = http(rpcUrl);
  const wallet = createWalletClient({ account, chain: foundry, transport, pollingInterval: 50 });
  const signer = toFacilitatorEvmSigner({
    ...wallet.extend(publicActions),
    address: account.address,
  });
  const facilitator = registerExactEvmScheme(new x402Facilitator(), {
    signer,
    networks: "eip155:31337",
  });
  const server = express();
  server.use(express.json());
  for (const step of ["verify", "settle"]) {
    server.post(`/${step}`, async (request, response) => {
      const { paymentPayload, paymentRequirements } = request.body;
      const answer = await facilitator[step](paymentPayload, paymentRequirements);
      answers.push({ step, answer });
      response.json(answer);
    });
  }
  server.get("/supported", (_, response) => response.json(facilitator.getSupported()));
  return server;
}
