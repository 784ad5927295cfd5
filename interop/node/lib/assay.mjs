// The assay binary: as a gateway, a chain and a facilitator, and its one-off commands.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Daemon, run } from "./process.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const LOOPBACK = "127.0.0.1:0";
const ACCOUNT = /^account (\d)\s+(0x[0-9a-fA-F]{40})\s+key (0x[0-9a-f]{64})$/gm;

/** The binary, with a folder of its own for everything it writes. */
export class Assay {
  static async open(binary) {
    const folder = await mkdtemp(join(tmpdir(), "assay-interop-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    return new Assay(binary, folder);
  }

  constructor(binary, folder) {
    this.binary = binary;
    this.folder = folder;
    this.files = 0;
  }

  /** Returns the path of a new file with this content. */
  async file(name, content) {
    this.files += 1;
    const path = join(this.folder, `${this.files}-${name}`);
    await writeFile(path, content);
    return path;
  }

  /** Starts a gateway; with no chain in `env` it starts one of its own. */
  async serve(data, env = {}) {
    const own = env.ASSAY_RPC_URL === undefined;
    const patterns = [
      /^gateway /m,
      /^network /m,
      /^model .*tumour/m,
      ...(own ? [/^account 9 .*\n/m] : []),
    ];
    const daemon = await Daemon.start(this.binary, ["serve"], {
      ...(await this.settings(data, env)),
      patterns,
    });
    return {
      daemon,
      url: daemon.printed(/^gateway\s+(http:\/\/127\.0\.0\.1:\d+)$/m),
      rpcUrl: env.ASSAY_RPC_URL ?? daemon.printed(/^network\s+eip155:31337 at (\S+)$/m),
      payTo: daemon.printed(/^paid to\s+(0x[0-9a-fA-F]{40})$/m),
      accounts: accounts(daemon),
    };
  }

  /** Starts a gateway that ends by itself, and returns how. */
  async serveToItsEnd(data, env) {
    const daemon = new Daemon(this.binary, ["serve"], await this.settings(data, env));
    return daemon.exit;
  }

  /** Returns environment and folder of a gateway with these data. */
  async settings(data, env) {
    const folder = join(this.folder, data);
    await mkdir(folder, { recursive: true });
    const settings = {
      ASSAY_DATA: folder,
      ASSAY_DEVCHAIN_LISTEN: LOOPBACK,
      ASSAY_LISTEN: LOOPBACK,
      ASSAY_MODELS: join(root, "models"),
      ASSAY_TEE_ATTESTER: "none",
      ...env,
    };
    return { env: settings, cwd: folder };
  }

  /** Starts a development chain in memory. */
  async devchain() {
    const patterns = [/^account 9 .*\n/m];
    const args = ["devchain", "--listen", LOOPBACK];
    const daemon = await Daemon.start(this.binary, args, { cwd: this.folder, patterns });
    return {
      daemon,
      rpcUrl: daemon.printed(/^chain\s+(\S+)$/m),
      token: daemon.printed(/^token\s+(0x[0-9a-fA-F]{40})$/m),
      accounts: accounts(daemon),
    };
  }

  /** Starts a facilitator that settles with development account 0. */
  async facilitator(rpcUrl, token, more = []) {
    const args = ["facilitator", "--listen", LOOPBACK, "--rpc-url", rpcUrl, "--asset", token];
    args.push("--development-account", "0", ...more);
    const patterns = [/^settles by .*\n/m];
    const daemon = await Daemon.start(this.binary, args, { cwd: this.folder, patterns });
    return {
      daemon,
      url: daemon.printed(/^facilitator (http:\/\/127\.0\.0\.1:\d+)$/m),
      settler: daemon.printed(/^settles by\s+(0x[0-9a-fA-F]{40})$/m),
    };
  }

  /** Buys an inference with `assay infer` and returns its exit code and what it printed. */
  async infer(gateway, input, args, env = {}) {
    const file = await this.file("input.json", JSON.stringify(input));
    const bundle = join(this.folder, `bought-${this.files}.assay`);
    const all = ["infer", "--json", "--gateway", gateway, "--model", "digits", "--input", file];
    const result = await run(this.binary, [...all, "--out", bundle, ...args], {
      env,
      cwd: this.folder,
    });
    if (result.code !== 0) return result;
    return { ...result, bought: JSON.parse(result.stdout), bundle: await readFile(bundle) };
  }

  /** Verifies the bytes of a bundle with `assay verify`, and returns exit code and report. */
  async verify(bundle, args = []) {
    const file = await this.file("bundle.assay", bundle);
    const { code, stdout, stderr } = await run(this.binary, ["verify", "--json", file, ...args], {
      cwd: this.folder,
    });
    return { code, stderr, report: stdout === "" ? undefined : JSON.parse(stdout) };
  }

  /** Asserts that a bundle verifies on a development chain, about this payment and this input. */
  async assertSimulated(bundle, { payer, payTo, amount, transaction, input }) {
    const own = input ? ["--input", await this.file("own.json", JSON.stringify(input))] : [];
    const { code, report, stderr } = await this.verify(bundle, own);
    assert.equal(report?.refusal, undefined, JSON.stringify(report?.refusal));
    assert.equal(code, 3, stderr);
    assert.equal(report.verdict, "simulated");
    assert.equal(report.items.length, 1);
    assert.equal(report.items[0].model.name, "digits");
    assert.equal(report.items[0].outcome, "ok");
    const { payment } = report;
    assert.equal(payment.state, "settled");
    assert.equal(payment.authorized, String(amount));
    assert.equal(payment.settled, String(amount));
    assert.equal(payment.payer.toLowerCase(), payer.toLowerCase());
    assert.equal(payment.payTo.toLowerCase(), payTo.toLowerCase());
    assert.equal(payment.transaction, transaction);
    return report;
  }
}

/** The development accounts that a program printed. */
function accounts(daemon) {
  return [...daemon.stdout.matchAll(ACCOUNT)].map(([, , address, key]) => ({ address, key }));
}

/** Returns the n-th sample of the model `digits` as an Open Inference Protocol request. */
export async function digits(n) {
  const { samples } = JSON.parse(await readFile(join(root, "models/digits/samples.json"), "utf8"));
  const { data } = samples[n];
  return { inputs: [{ name: "image", shape: [1, 1, 8, 8], datatype: "FP32", data }] };
}

/** Reads what the development token compiles to. */
export function tokenArtifact() {
  return json("contracts/artifacts/DevToken.json");
}

/** Reads what the contracts of the scheme `upto` compile to, and says where they stand on every chain. */
export async function uptoContracts() {
  return [
    ["0x000000000022D473030F116dDEE9F6B43aC78BA3", await json("contracts/artifacts/DevPermit2.json")],
    [
      "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002",
      await json("contracts/artifacts/DevUptoPermit2Proxy.json"),
    ],
  ];
}

/** Reads what the contract for batches compiles to. */
export function multicallArtifact() {
  return json("contracts/artifacts/DevMulticall.json");
}

/** Reads where the process is ended, and what the buyer is left with: the CLI's own tests run it too. */
export function failpointCases() {
  return json("crates/cli/tests/faults.json");
}

/** A price list with one price for a digit, in a token. */
export function priceList(token) {
  return `
[assets.development]
id = "eip155:31337/erc20:${token}"
decimals = 6
name = "Assay Development Dollar"
version = "1"

[[prices]]
model = "digits"
method = "signed"
asset = "development"
amount = "0.002345"

[[prices]]
model = "tumour"
method = "signed"
asset = "development"
amount = "0.002345"
`;
}

async function json(path) {
  return JSON.parse(await readFile(join(root, path), "utf8"));
}
