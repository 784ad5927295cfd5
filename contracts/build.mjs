// Compiles every contract listed below into artifacts/<name>.json.
//
//   node build.mjs            writes the artifacts
//   node build.mjs --check    exits 1 if a committed artifact differs from its source
//
// The output depends on the sources, the pinned compiler and the settings below, and on nothing
// else: paths are relative to this folder and the metadata hash is left out of the bytecode.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import solc from "solc";

const CONTRACTS = ["DevToken", "DevMulticall", "DevPermit2", "DevUptoPermit2Proxy"];

const SETTINGS = {
  evmVersion: "cancun",
  optimizer: { enabled: true, runs: 200 },
  metadata: { bytecodeHash: "none" },
};

const OUTPUTS = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"];

const here = new URL("./", import.meta.url);
const require = createRequire(import.meta.url);

/** Reads an imported source: one of `src/`, or a package path such as `@openzeppelin/contracts/...`. */
function findImport(path) {
  try {
    const file = path.startsWith("src/") ? new URL(path, here) : require.resolve(path);
    return { contents: readFileSync(file, "utf8") };
  } catch (error) {
    return { error: `${path}: ${error.message}` };
  }
}

/** Compiles `src/<name>.sol` and returns its artifact, or throws with the compiler's messages. */
async function compile(name) {
  const path = `src/${name}.sol`;
  const input = {
    language: "Solidity",
    sources: { [path]: { content: await readFile(new URL(path, here), "utf8") } },
    settings: { ...SETTINGS, outputSelection: { [path]: { [name]: OUTPUTS } } },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
  const messages = output.errors ?? [];
  if (messages.length > 0) {
    throw new Error(messages.map((message) => message.formattedMessage).join("\n"));
  }
  const { abi, evm } = output.contracts[path][name];
  return {
    contractName: name,
    compiler: solc.version(),
    settings: SETTINGS,
    abi,
    bytecode: `0x${evm.bytecode.object}`,
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
  };
}

async function main(check) {
  for (const name of CONTRACTS) {
    const target = new URL(`artifacts/${name}.json`, here);
    const built = `${JSON.stringify(await compile(name), null, 2)}\n`;
    if (!check) {
      await mkdir(new URL("artifacts/", here), { recursive: true });
      await writeFile(target, built);
      continue;
    }
    const committed = await readFile(target, "utf8").catch(() => "");
    if (committed !== built) {
      console.error(`artifacts/${name}.json is not what src/${name}.sol compiles to: run \`node build.mjs\`.`);
      process.exitCode = 1;
    }
  }
}

await main(process.argv.includes("--check"));
