// Payments of the scheme `upto` as @x402/evm signs them, which the tests of crates/x402 compare with our own.
//
//   node golden.mjs            writes them
//   node golden.mjs --check    exits 1 if a committed one is not what the package makes
//
// Time and randomness are fixed, so that the package signs the same each time.

import { readFile, writeFile } from "node:fs/promises";
import { x402Client, x402HTTPClient } from "@x402/core/client";
import { encodePaymentSignatureHeader } from "@x402/core/http";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { keccak256, toBytes } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const NOW = 1_795_231_211;
const NETWORK = "eip155:31337";
const FOLDER = new URL("../../crates/x402/tests/foreign/", import.meta.url);

Date.now = () => NOW * 1000;
crypto.getRandomValues = (bytes) => bytes.fill(7);

const key = (number) => keccak256(toBytes(`assay development account ${number}`));
const buyer = privateKeyToAccount(key(1));

const offer = {
  scheme: "upto",
  network: NETWORK,
  amount: "1000",
  asset: "0x5Fe8d7270F11F9eA5af4d68f6Ba63Cc478996ee6",
  payTo: privateKeyToAccount(key(2)).address,
  maxTimeoutSeconds: 60,
  extra: {
    name: "Assay Development Dollar",
    version: "1",
    assetTransferMethod: "permit2",
    facilitatorAddress: privateKeyToAccount(key(0)).address,
  },
};

/** Signs by the package for an account that Permit2 has no allowance of. */
async function signed(extensions) {
  const signer = { ...buyer, readContract: async () => 0n };
  const client = x402Client.fromConfig({
    schemes: [{ network: NETWORK, client: new UptoEvmScheme(signer) }],
    spendControls: false,
  });
  const required = {
    x402Version: 2,
    resource: { url: "https://seller.example/v1/run" },
    accepts: [offer],
    ...(extensions ? { extensions } : {}),
  };
  const payload = await new x402HTTPClient(client).createPaymentPayload(required);
  return `${encodePaymentSignatureHeader(payload)}\n`;
}

const goldens = {
  "upto-2.27.0.txt": await signed(),
  "upto-sponsored-2.27.0.txt": await signed({ eip2612GasSponsoring: { info: { version: "1" }, schema: {} } }),
};
for (const [name, made] of Object.entries(goldens)) {
  const file = new URL(name, FOLDER);
  if (!process.argv.includes("--check")) {
    await writeFile(file, made);
  } else if ((await readFile(file, "utf8").catch(() => "")) !== made) {
    console.error(`${name} is not what @x402/evm makes: run \`node golden.mjs\`.`);
    process.exitCode = 1;
  }
}
