"""What the chain says about a token, by plain JSON-RPC."""

import contextlib

import requests

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
BALANCE_OF = "0x70a08231"


class Token:
    def __init__(self, rpc_url, address):
        self.rpc_url = rpc_url
        self.address = address

    def call(self, method, *parameters):
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        answer = requests.post(self.rpc_url, json=body, timeout=10).json()
        assert "error" not in answer, answer
        return answer["result"]

    def balance(self, account):
        call = {"to": self.address, "data": BALANCE_OF + word(account)}
        return int(self.call("eth_call", call, "latest"), 16)

    def transfers(self, payer, since):
        """[(recipient, amount, transaction)] of what the payer sent from a block on."""
        if since > int(self.call("eth_blockNumber"), 16):
            return []
        topics = [TRANSFER, "0x" + word(payer)]
        query = {"address": self.address, "fromBlock": hex(since), "topics": topics}
        logs = self.call("eth_getLogs", query)
        return [
            ("0x" + log["topics"][2][26:], int(log["data"], 16), log["transactionHash"])
            for log in logs
        ]

    @contextlib.contextmanager
    def charges(self, payer, pay_to, amounts):
        """Asserts that in this block the payer sent exactly these amounts, one transfer each, to
        `pay_to` and nothing to anyone else. Gives a list that holds the transactions afterwards."""
        since = int(self.call("eth_blockNumber"), 16) + 1
        before = self.balance(payer), self.balance(pay_to)
        transactions = []
        yield transactions
        after = self.balance(payer), self.balance(pay_to)
        moved = before[0] - after[0], after[1] - before[1]
        assert moved == (sum(amounts), sum(amounts)), f"paid, received: {moved}"
        logs = self.transfers(payer, since)
        assert [log[:2] for log in logs] == [(pay_to.lower(), amount) for amount in amounts], logs
        transactions.extend(log[2] for log in logs)


def word(address):
    return address[2:].lower().rjust(64, "0")
