// Runs every case against the assay binary:
//
//   node run.mjs [--assay FILE] [--only GROUP]      by default target/debug/assay of this checkout

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { anvil } from "./cases/anvil.mjs";
import { devchain } from "./cases/devchain.mjs";
import { facilitator } from "./cases/facilitator.mjs";
import { faults } from "./cases/faults.mjs";
import { foreignFacilitator } from "./cases/foreign-facilitator.mjs";
import { tee } from "./cases/tee.mjs";
import { transactions } from "./cases/transactions.mjs";
import { zkml } from "./cases/zkml.mjs";
import { Assay } from "./lib/assay.mjs";
import { Report } from "./lib/report.mjs";

const TOTAL_MS = 900_000;
const built = fileURLToPath(new URL("../../target/debug/assay", import.meta.url));

/** What runs, by the name that `--only` takes. */
const GROUPS = {
  devchain: ["assay serve with its own chain, paid by @x402/fetch", devchain],
  tee: ["assay serve with a simulated enclave, paid by @x402/fetch", tee],
  zkml: ["assay serve with proofs, paid by @x402/fetch", zkml],
  transactions: ["assay serve with transactions of all methods, paid by @x402/fetch", transactions],
  anvil: ["assay serve on anvil", anvil],
  faults: ["assay serve on an anvil that reorganises, stalls and grows dear", faults],
  facilitator: ["assay facilitator, used by @x402/core and @x402/express", facilitator],
  foreign: ["assay serve with a facilitator of @x402/evm", foreignFacilitator],
};

async function main() {
  const options = { assay: { type: "string", default: built }, only: { type: "string" } };
  const { values } = parseArgs({ options });
  const names = values.only === undefined ? Object.keys(GROUPS) : [values.only];
  const binary = resolve(values.assay);
  if (!existsSync(binary))
    throw new Error(`${binary}: there is no such binary; build it with cargo`);
  setTimeout(() => {
    console.log(`FAIL  not done within ${TOTAL_MS / 1000} s`);
    process.exit(1);
  }, TOTAL_MS).unref();
  const assay = await Assay.open(binary);
  const report = new Report();
  for (const name of names) {
    if (!Object.hasOwn(GROUPS, name)) throw new Error(`${name}: there is no such group`);
    const [title, cases] = GROUPS[name];
    await report.group(title, () => cases(report, assay));
  }
  return report.finish();
}

process.exit(await main());
