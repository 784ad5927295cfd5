import { createHash } from "node:crypto";
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

import {
  digits,
  failpointCases,
  multicallArtifact,
  priceList,
  tokenArtifact,
} from "../lib/assay.mjs";
import { FetchBuyer, bought, bundle } from "../lib/buyer.mjs";
import { Token } from "../lib/chain.mjs";
import { startAnvil } from "../lib/process.mjs";

/** Anvil's first account; its key is public. */
const FUNDER = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11";
const PRICE = 2345n;
const GWEI = 1_000_000_000n;
const DEAR = hex(50n * GWEI);
/** More than a thousand purchases of a debug build. */
const CROWD = 1_000;
const CROWD_MS = 300_000;

/** Gateways on a chain that takes back what it had, grows dear, and stands still. */
export async function faults(report, assay) {
  const request = await digits(3);

  await on(assay, "reorganised", async (place) => {
    await report.test("a settlement that is reorganised away is settled again, charged once", () =>
      settledAgain(place, request),
    );
    await report.test("the same when the gateway is killed and started again in between", () =>
      settledAgain(place, request, () => place.restart()),
    );
    await report.test("fees that jump: the settlement is replaced and mined once", () =>
      replaced(place, request),
    );
    await report.test("40 buyers at a standstill are settled in few transactions, each once", () =>
      batched(place, request),
    );
  });
  await on(assay, "crowd", async (place) => {
    await report.test(
      `${CROWD} payers at once: each is charged once for its result`,
      () => crowded(place, request),
      CROWD_MS,
    );
  });
  await on(assay, "expired", async (place) => {
    await report.test("one that expires after the reorganisation has failed, charged nothing", () =>
      failedAfterwards(place, request),
    );
  });
  await failpoints(report, assay, request);
}

/** An anvil with the token and the contract for batches, and how a gateway is started on it. */
class Place {
  static async open(assay) {
    const { anvil, rpcUrl } = await startAnvil();
    const place = new Place();
    Object.assign(place, { assay, anvil, rpcUrl });
    place.token = await Token.deploy(rpcUrl, FUNDER, await tokenArtifact());
    const { deployedBytecode } = await multicallArtifact();
    await place.rpc("anvil_setCode", MULTICALL3, deployedBytecode);
    place.prices = await assay.file("prices.toml", priceList(place.token.address));
    return place;
  }

  /** Makes the environment of a gateway that is paid to an account of its own. */
  async shop() {
    const key = await this.token.settlerKey();
    this.settler = privateKeyToAccount(key).address;
    this.payTo = privateKeyToAccount(generatePrivateKey()).address;
    return {
      ASSAY_DURABILITY: "normal",
      ASSAY_NETWORK: "eip155:31337",
      ASSAY_PAY_TO: this.payTo,
      ASSAY_PRICES: this.prices,
      ASSAY_RPC_URL: this.rpcUrl,
      ASSAY_SETTLEMENT_KEY: key,
    };
  }

  /** Kills the gateway, and starts another over what it stored. */
  async restart() {
    await this.gateway.daemon.kill();
    this.gateway = await this.assay.serve(this.data, this.env);
  }

  async rpc(method, ...params) {
    const response = await fetch(this.rpcUrl, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    const { result, error } = await response.json();
    assert.equal(error, undefined, `${method}: ${JSON.stringify(error)}`);
    return result;
  }

  automine(on) {
    return this.rpc("evm_setAutomine", on);
  }

  async mine(baseFee = hex(GWEI)) {
    await this.rpc("anvil_setNextBlockBaseFeePerGas", baseFee);
    await this.rpc("evm_mine");
  }

  /** Returns the hashes of the transactions that wait. */
  async waiting() {
    const { pending } = await this.rpc("txpool_content");
    return Object.values(pending).flatMap((of) => Object.values(of).map(({ hash }) => hash));
  }

  /** Asserts what an account paid, all told: so many transfers of the price, to the shop. */
  async charged(payer, times) {
    const sent = await this.token.transfers(payer, 0n);
    const expected = Array(times).fill([this.payTo.toLowerCase(), PRICE]);
    assert.deepEqual(
      sent.map(({ args }) => [args.to.toLowerCase(), args.value]),
      expected,
    );
    return sent.map(({ transactionHash }) => transactionHash);
  }
}

async function on(assay, data, body) {
  const place = await Place.open(assay);
  try {
    Object.assign(place, { data, env: await place.shop() });
    place.gateway = await assay.serve(data, place.env);
    await body(place);
    await place.gateway.daemon.stop();
  } finally {
    await place.anvil.kill();
  }
}

async function buyerOf(place, amount = PRICE) {
  const buyer = new FetchBuyer(await place.token.payer(amount));
  return { buyer, payer: buyer.account.address };
}

/** Waits until something that the gateway does in the background is done. */
async function until(what, holds) {
  for (let look = 0; look < 400; look += 1) {
    const found = await holds();
    if (found) return found;
    await sleep(100);
  }
  throw new Error(`it never came to this: ${what}`);
}

async function publicReceipt(place, id) {
  return (await fetch(`${place.gateway.url}/v1/receipts/${id}`)).json();
}

/** Takes the block of a settlement out of the chain, and holds back what follows. */
async function reorganise(place, id) {
  await place.automine(false);
  await place.rpc("anvil_reorg", 1, []);
  await until("the settlement is recorded as lost", async () => {
    return (await publicReceipt(place, id)).state === "reorged";
  });
}

async function settledAgain(place, request, meanwhile = async () => {}) {
  const { buyer, payer } = await buyerOf(place);
  const { id, token } = await bought(await buyer.infer(place.gateway.url, request));
  await place.charged(payer, 1);
  try {
    await reorganise(place, id);
    await place.charged(payer, 0);
    const { settlementRecords } = await publicReceipt(place, id);
    assert.equal(settlementRecords.length, 2);
    await meanwhile();
    await until("it is sent again", async () => (await place.waiting()).length > 0);
  } finally {
    await place.automine(true);
  }
  await place.mine();
  await until("it is settled", async () => (await publicReceipt(place, id)).state === "settled");
  const [transaction] = await place.charged(payer, 1);
  const file = await bundle(place.gateway.url, id, token);
  assert.equal(JSON.parse(file).settlementRecords.length, 3);
  const { payTo } = place;
  const expected = { payer, payTo, amount: PRICE, transaction, input: request };
  await place.assay.assertSimulated(file, expected);
}

async function failedAfterwards(place, request) {
  const { buyer, payer } = await buyerOf(place);
  const { id, token } = await bought(await buyer.infer(place.gateway.url, request));
  const file = await bundle(place.gateway.url, id, token);
  try {
    await reorganise(place, id);
    await place.rpc("evm_increaseTime", 7_200);
  } finally {
    await place.automine(true);
  }
  await place.mine();
  await until("it has failed", async () => (await publicReceipt(place, id)).state === "failed");
  await place.charged(payer, 0);
  assert.equal(await place.token.balance(payer), PRICE);
  // The buyer's bundle with the records since then: the last one counts.
  const { settlementRecords } = await publicReceipt(place, id);
  const renewed = { ...JSON.parse(file), settlementRecords };
  const { report } = await place.assay.verify(Buffer.from(JSON.stringify(renewed)));
  assert.equal(report.refusal, undefined, JSON.stringify(report.refusal));
  assert.deepEqual([report.payment.state, report.payment.settled], ["failed", "0"]);
}

async function replaced(place, request) {
  const { buyer, payer } = await buyerOf(place);
  const sent = await place.token.client.getTransactionCount({ address: place.settler });
  await place.automine(false);
  try {
    const buying = buyer.infer(place.gateway.url, request);
    const [first] = await until("it is sent", async () => {
      const waiting = await place.waiting();
      return waiting.length > 0 && waiting;
    });
    let answer;
    buying.then((response) => (answer = response));
    await until("the purchase ends", async () => {
      await place.mine(DEAR);
      return answer;
    });
    const { settlement } = await bought(answer);
    assert.notEqual(settlement.transaction, first);
    assert.deepEqual(await place.charged(payer, 1), [settlement.transaction]);
    assert.equal(await place.token.client.getTransactionCount({ address: place.settler }), sent + 1);
  } finally {
    await place.automine(true);
    await place.mine();
  }
}

async function batched(place, request) {
  const buyers = [];
  for (let index = 0; index < 40; index += 1) buyers.push(await buyerOf(place));
  await place.automine(false);
  const all = buyers.map(async ({ buyer }) =>
    bought(await buyer.infer(place.gateway.url, request)),
  );
  const done = Promise.all(all).then(() => "done");
  try {
    await until("the first is sent", async () => (await place.waiting()).length > 0);
    await until("all are settled", async () => {
      const ended = await Promise.race([done, sleep(1_000)]);
      await place.mine();
      return ended === "done";
    });
  } finally {
    await place.automine(true);
  }
  const hashes = new Set();
  for (const { payer } of buyers) {
    for (const hash of await place.charged(payer, 1)) hashes.add(hash);
  }
  assert.ok(hashes.size <= 20, `${hashes.size} transactions for 40 payments`);
  console.log(`      40 payments in ${hashes.size} transactions`);
}

/** A thousand payers at once. One that is turned away for want of room comes again. */
async function crowded(place, request) {
  const payers = [];
  for (let index = 0; index < CROWD; index += 1) payers.push(await buyerOf(place));
  let refused = 0;
  const buys = async ({ buyer }) => {
    for (;;) {
      const response = await buyer.infer(place.gateway.url, request);
      const isOpen = response.headers.has("Assay-Transaction");
      if (![429, 503].includes(response.status) || isOpen) return bought(response);
      refused += 1;
      await response.text();
      await sleep(250);
    }
  };
  await Promise.all(payers.map(buys));
  const hashes = new Set();
  for (const { payer } of payers) {
    for (const hash of await place.charged(payer, 1)) hashes.add(hash);
  }
  await until("all have settled receipts", async () => {
    const metrics = await (await fetch(`${place.gateway.url}/metrics`)).text();
    return metrics.includes(`assay_transactions{state="settled"} ${CROWD}\n`);
  });
  console.log(`      ${CROWD} payments in ${hashes.size} transactions, ${refused} turned away before`);
}

/** The process ends at each of its failpoints while somebody buys, and is started again. */
async function failpoints(report, assay, request) {
  const place = await Place.open(assay);
  const table = [];
  try {
    for (const [index, { failpoints, settled, stuck }] of (await failpointCases()).entries()) {
      const name = failpoints.join(", ");
      await report.test(`the process ends at ${name}: ${settled} charged`, async () => {
        const charged = await ended(place, `ended-${index}`, request, { failpoints, stuck });
        table.push(`      ${name.padEnd(50)} ${settled} ${String(charged).padStart(8)}`);
        assert.equal(charged, settled === 1 ? PRICE : 0n);
      });
    }
  } finally {
    await place.anvil.kill();
  }
  console.log([`      ${"the process ends at".padEnd(47)} settled  charged`, ...table].join("\n"));
}

async function ended(place, data, request, { failpoints, stuck }) {
  const { assay } = place;
  const env = await place.shop();
  const { buyer, payer } = await buyerOf(place, 2n * PRICE);
  for (const [index, name] of failpoints.entries()) {
    const armed = { ...env, ASSAY_FAILPOINT: name };
    if (index > 0) {
      // It ends while it takes up what the one before left.
      assert.equal(await assay.serveToItsEnd(data, armed), "SIGABRT");
      continue;
    }
    place.gateway = await assay.serve(data, armed);
    if (stuck) await place.automine(false);
    // The buyer keeps the token, so the next process runs what this one leaves.
    const token = createHash("sha256").update(`token ${data}`).digest("hex");
    const headers = { "assay-access-token-hash": token };
    const buying = buyer.infer(place.gateway.url, request, headers).catch(() => undefined);
    const { daemon } = place.gateway;
    if (stuck) await until("it is sent", async () => (await place.waiting()).length > 0);
    // Blocks without the settlement: it pays too little for each of them.
    while (stuck && daemon.ended === undefined) {
      await place.mine(DEAR);
      await sleep(200);
    }
    assert.equal(await daemon.exit, "SIGABRT");
    await buying;
  }
  await place.automine(true);
  await place.mine();
  place.gateway = await assay.serve(data, env);
  await until("nothing is open", async () => {
    const metrics = await (await fetch(`${place.gateway.url}/metrics`)).text();
    return ["reserved", "committed", "failing"].every((state) =>
      metrics.includes(`assay_transactions{state="${state}"} 0\n`),
    );
  });
  const charged = 2n * PRICE - (await place.token.balance(payer));
  await place.charged(payer, Number(charged / PRICE));
  // Nothing is in the way of the next purchase.
  const next = await buyerOf(place);
  await bought(await next.buyer.infer(place.gateway.url, request));
  await place.charged(next.payer, 1);
  await place.gateway.daemon.stop();
  return charged;
}

function hex(number) {
  return `0x${number.toString(16)}`;
}
