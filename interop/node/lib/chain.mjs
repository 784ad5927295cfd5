// What the chain says about a token: who has how much, and who sent what to whom.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import {
  TransactionReceiptNotFoundError,
  createPublicClient,
  createWalletClient,
  http,
  parseAbi,
  parseEther,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

const ABI = parseAbi([
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "function balanceOf(address account) view returns (uint256)",
  "function mint(address to, uint256 value)",
]);

/** A token on a development chain, and an account that has gas. */
export class Token {
  constructor(rpcUrl, address, funder) {
    const transport = http(rpcUrl);
    this.address = address;
    this.client = createPublicClient({
      chain: foundry,
      transport,
      pollingInterval: 50,
      cacheTime: 0,
    });
    this.funder = createWalletClient({
      account: privateKeyToAccount(funder),
      chain: foundry,
      transport,
    });
  }

  /** Deploys a token from its artifact. */
  static async deploy(rpcUrl, funder, { abi, bytecode }) {
    const token = new Token(rpcUrl, undefined, funder);
    const receipt = await token.mined(await token.funder.deployContract({ abi, bytecode }));
    token.address = receipt.contractAddress;
    return token;
  }

  /**
   * Waits for a transaction to be in a block. viem's own wait may miss the block that comes while it
   * looks at the one before, and a chain that mines on demand has no next one.
   */
  async mined(hash) {
    for (let look = 0; look < 600; look += 1) {
      const receipt = await this.client.getTransactionReceipt({ hash }).catch((error) => {
        if (!(error instanceof TransactionReceiptNotFoundError)) throw error;
      });
      if (receipt) {
        assert.equal(receipt.status, "success");
        return receipt;
      }
      await sleep(50);
    }
    throw new Error(`${hash} is not mined`);
  }

  /** Makes a key whose account has this much of the token and no gas. */
  async payerKey(amount) {
    const key = generatePrivateKey();
    const args = [privateKeyToAccount(key).address, amount];
    await this.mined(
      await this.funder.writeContract({
        address: this.address,
        abi: ABI,
        functionName: "mint",
        args,
      }),
    );
    return key;
  }

  /** Makes an account with this much of the token and no gas. */
  async payer(amount) {
    return privateKeyToAccount(await this.payerKey(amount));
  }

  /** Makes a key whose account has gas. */
  async settlerKey() {
    const key = generatePrivateKey();
    const { address: to } = privateKeyToAccount(key);
    await this.mined(await this.funder.sendTransaction({ to, value: parseEther("1") }));
    return key;
  }

  balance(account) {
    return this.client.readContract({
      address: this.address,
      abi: ABI,
      functionName: "balanceOf",
      args: [account],
    });
  }

  /**
   * Does `work`, and asserts that meanwhile the payer sent exactly these amounts, each in one
   * transfer to `payTo`, and nothing else to anyone. Returns what `work` does and the hashes.
   */
  async charges(payer, payTo, amounts, work) {
    const accounts = [payer, payTo];
    const since = (await this.client.getBlockNumber()) + 1n;
    const before = await Promise.all(accounts.map((account) => this.balance(account)));
    const result = await work();
    const after = await Promise.all(accounts.map((account) => this.balance(account)));
    const sum = amounts.reduce((total, amount) => total + amount, 0n);
    assert.deepEqual([before[0] - after[0], after[1] - before[1]], [sum, sum], "paid, received");
    const logs = await this.transfers(payer, since);
    const sent = logs.map(({ args }) => [args.to.toLowerCase(), args.value]);
    assert.deepEqual(
      sent,
      amounts.map((amount) => [payTo.toLowerCase(), amount]),
    );
    return { result, hashes: logs.map((log) => log.transactionHash) };
  }

  async transfers(from, since) {
    if (since > (await this.client.getBlockNumber())) return [];
    const filter = { address: this.address, event: ABI[0], args: { from }, fromBlock: since };
    return this.client.getLogs(filter);
  }
}
