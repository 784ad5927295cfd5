// Starts programs, waits for what they print, and stops them.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const ANVIL = "@foundry-rs/anvil-linux-amd64";
const START_MS = 30_000;
const STOP_MS = 20_000;

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

/** The environment without what would configure an `assay` of the developer's own. */
function environment(more) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("ASSAY_"));
  return { ...Object.fromEntries(own), NO_COLOR: "1", ...more };
}

/** A program that runs until it is stopped. */
export class Daemon {
  /** Starts a program and waits until each of the patterns is printed. */
  static async start(command, args, { env = {}, cwd, patterns }) {
    const daemon = new Daemon(command, args, { env, cwd });
    const deadline = Date.now() + START_MS;
    while (!patterns.every((pattern) => pattern.test(daemon.stdout))) {
      if (daemon.ended !== undefined || Date.now() > deadline) {
        await daemon.kill();
        throw new Error(
          `${daemon.name} did not start (${daemon.ended ?? "time-out"})\n${daemon.output()}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return daemon;
  }

  constructor(command, args, { env, cwd }) {
    this.name = `${command.split("/").at(-1)} ${args[0] ?? ""}`.trim();
    this.stdout = "";
    this.stderr = "";
    this.child = spawn(command, args, {
      env: environment(env),
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this.child);
    this.child.stdout.on("data", (data) => (this.stdout += data));
    this.child.stderr.on("data", (data) => (this.stderr += data));
    this.exit = new Promise((resolve) => {
      this.child.on("error", (error) => resolve(error.message));
      this.child.on("close", (code, signal) => resolve(code ?? signal));
    }).then((ended) => {
      running.delete(this.child);
      this.ended = ended;
      return ended;
    });
  }

  /** Returns the first group of a pattern in what was printed. */
  printed(pattern) {
    const found = pattern.exec(this.stdout);
    if (!found) throw new Error(`${this.name} did not print ${pattern}\n${this.output()}`);
    return found[1];
  }

  /** Sends SIGTERM; the program has to end by itself, with exit code 0. */
  async stop() {
    this.child.kill("SIGTERM");
    const late = new Promise((resolve) => setTimeout(resolve, STOP_MS, "late").unref());
    const ended = await Promise.race([this.exit, late]);
    if (ended !== 0) {
      await this.kill();
      throw new Error(
        `${this.name}: expected exit code 0 after SIGTERM, got ${ended}\n${this.output()}`,
      );
    }
  }

  async kill() {
    this.child.kill("SIGKILL");
    await this.exit;
  }

  /** The last lines that were printed, for an error's text. */
  output() {
    return `${this.stdout}${this.stderr}`.split("\n").slice(-30).join("\n");
  }
}

/** Runs a program to its end and returns its exit code and output. */
export async function run(command, args, { env = {}, cwd } = {}) {
  const program = new Daemon(command, args, { env, cwd });
  const code = await program.exit;
  return { code, stdout: program.stdout, stderr: program.stderr };
}

/** Starts anvil with an empty chain on a free port of loopback, and returns its URL with it. */
export async function startAnvil() {
  const args = ["--host", "127.0.0.1", "--port", "0", "--chain-id", "31337", "--accounts", "2"];
  const listening = /Listening on (127\.0\.0\.1:\d+)/;
  const anvil = await Daemon.start(anvilBinary(), args, { patterns: [listening] });
  return { anvil, rpcUrl: `http://${anvil.printed(listening)}` };
}

/** The binary from npm where package.json names one for this platform, else the one in PATH. */
function anvilBinary() {
  try {
    return join(dirname(require.resolve(`${ANVIL}/package.json`)), "bin", "anvil");
  } catch {
    return "anvil";
  }
}
