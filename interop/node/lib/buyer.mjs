// A buyer made of @x402/fetch, @x402/evm and viem: none of our code is in it.

import assert from "node:assert/strict";
import { x402HTTPClient } from "@x402/core/client";
import { decodePaymentRequiredHeader, encodePaymentSignatureHeader } from "@x402/core/http";
import { PaymentRequiredV2Schema } from "@x402/core/schemas";
import { ExactEvmScheme } from "@x402/evm";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";

const NETWORK = "eip155:31337";

/** The amount of the development token that a digit costs when no price is set. */
export const PRICE = 1000n;

export class FetchBuyer {
  /** Pays by `exact`, or with a chain to ask what Permit2 may move by `upto` alone. */
  constructor(account, rpcUrl) {
    this.account = account;
    const client = rpcUrl ? new UptoEvmScheme(account, { rpcUrl }) : new ExactEvmScheme(account);
    // By default only well-known stablecoins are paid with; the development token is none.
    this.client = x402Client.fromConfig({
      schemes: [{ network: NETWORK, client }],
      spendControls: false,
    });
    this.fetch = wrapFetchWithPayment(fetch, this.client);
  }

  /** Buys an inference by @x402/fetch alone. */
  infer(gateway, request, headers = {}) {
    return this.fetch(inferUrl(gateway), post(request, headers));
  }

  /** Buys a transaction by @x402/fetch alone. */
  transact(gateway, transaction, headers = {}) {
    return this.fetch(transactionsUrl(gateway), post(transaction, headers));
  }

  /** Signs a payment for what a 402 asks, without sending it. */
  async sign(required) {
    const payload = await new x402HTTPClient(this.client).createPaymentPayload(required);
    return { payload, header: encodePaymentSignatureHeader(payload) };
  }
}

/** Sends an inference request as it is, with no payment but what the headers hold. */
export function send(gateway, request, headers = {}) {
  return fetch(inferUrl(gateway), post(request, headers));
}

/** Asks what an inference costs; the answer has to be what x402's own schema says. */
export async function ask(gateway, request) {
  return asked(await send(gateway, request));
}

/** Asks what a transaction costs, likewise. */
export async function askTransaction(gateway, transaction) {
  return asked(await fetch(transactionsUrl(gateway), post(transaction, {})));
}

function asked(response) {
  assert.equal(response.status, 402);
  const required = decodePaymentRequiredHeader(response.headers.get("PAYMENT-REQUIRED"));
  PaymentRequiredV2Schema.parse(required);
  return { response, required };
}

/** Returns x402's code for why a payment was refused. */
export function refusal(response) {
  assert.equal(response.status, 402);
  return decodePaymentRequiredHeader(response.headers.get("PAYMENT-REQUIRED")).error;
}

/** Reads the result of a purchase and its settlement, which must have succeeded. */
export async function bought(response) {
  const { text, settlement } = await settled(response);
  const { outputs, parameters, model_name } = JSON.parse(text);
  assert.equal(model_name, "digits");
  const [logits] = outputs;
  assert.deepEqual([logits.name, logits.datatype, logits.shape], ["logits", "FP32", [1, 10]]);
  assert.equal(logits.data.length, 10);
  const id = response.headers.get("Assay-Transaction");
  assert.equal(parameters.assay_transaction, id);
  return { id, logits: logits.data, settlement, token: response.headers.get("Assay-Access-Token") };
}

/** Reads the results of a transaction and its settlement, which must have succeeded. */
export async function boughtTransaction(response) {
  const { text, settlement } = await settled(response);
  const { transactionId: id, items } = JSON.parse(text);
  assert.equal(response.headers.get("Assay-Transaction"), id);
  return { id, items, settlement, token: response.headers.get("Assay-Access-Token") };
}

async function settled(response) {
  const text = await response.text();
  assert.equal(response.status, 200, text);
  const settlement = decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));
  assert.equal(settlement.success, true);
  assert.equal(settlement.network, NETWORK);
  return { text, settlement };
}

/** Fetches the bundle of a transaction. */
export async function bundle(gateway, id, token) {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetch(`${gateway}/v1/receipts/${id}`, { headers });
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, bytes.toString().slice(0, 500));
  assert.equal(response.headers.get("Content-Type"), "application/vnd.assay.bundle.v1+json");
  return bytes;
}

function transactionsUrl(gateway) {
  return `${gateway}/v1/transactions`;
}

function inferUrl(gateway) {
  return `${gateway}/v2/models/digits/infer`;
}

function post(request, headers) {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(request),
  };
}
