// Runs every case against the assay binary:
//
//   node run.mjs [--assay FILE]      by default target/debug/assay of this checkout

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { anvil } from "./cases/anvil.mjs";
import { devchain } from "./cases/devchain.mjs";
import { facilitator } from "./cases/facilitator.mjs";
import { foreignFacilitator } from "./cases/foreign-facilitator.mjs";
import { Assay } from "./lib/assay.mjs";
import { Report } from "./lib/report.mjs";

const TOTAL_MS = 300_000;
const built = fileURLToPath(new URL("../../target/debug/assay", import.meta.url));

async function main() {
  const { values } = parseArgs({ options: { assay: { type: "string", default: built } } });
  const binary = resolve(values.assay);
  if (!existsSync(binary))
    throw new Error(`${binary}: there is no such binary; build it with cargo`);
  setTimeout(() => {
    console.log(`FAIL  not done within ${TOTAL_MS / 1000} s`);
    process.exit(1);
  }, TOTAL_MS).unref();
  const assay = await Assay.open(binary);
  const report = new Report();
  await report.group("assay serve with its own chain, paid by @x402/fetch", () =>
    devchain(report, assay),
  );
  await report.group("assay serve on anvil", () => anvil(report, assay));
  await report.group("assay facilitator, used by @x402/core and @x402/express", () =>
    facilitator(report, assay),
  );
  await report.group("assay serve with a facilitator of @x402/evm", () =>
    foreignFacilitator(report, assay),
  );
  return report.finish();
}

process.exit(await main());
