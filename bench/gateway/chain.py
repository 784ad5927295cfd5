"""Reads a chain over JSON-RPC, with nothing but Python's standard library."""

import json
import urllib.error
import urllib.request


class Chain:
    def __init__(self, url):
        self.url = url
        # A proxy of the environment is not to stand between this and loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method, *params):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(
            self.url, body, {"content-type": "application/json"}, method="POST"
        )
        with self._opener.open(request, timeout=60) as answer:
            told = json.load(answer)
        if "error" in told:
            raise RuntimeError(f"{method}: {told['error']}")
        return told["result"]

    def head(self):
        return int(self.call("eth_blockNumber"), 16)

    def balance(self, token, account):
        """The balance of an ERC-20 token (`balanceOf`)."""
        return self._number(token, "0x70a08231" + account.lower()[2:].rjust(64, "0"))

    def supply(self, token):
        """How much of an ERC-20 token there is (`totalSupply`)."""
        return self._number(token, "0x18160ddd")

    def logs(self, token, first, last, step=2000):
        """Every log of a contract in blocks `first` to `last`, in order."""
        found = []
        while first <= last:
            end = min(last, first + step - 1)
            query = {"address": token, "fromBlock": hex(first), "toBlock": hex(end)}
            try:
                found += self.call("eth_getLogs", query)
            except RuntimeError:
                # More than the node gives at once: ask for less.
                if step == 1:
                    raise
                step = max(1, step // 4)
                continue
            first = end + 1
        return found

    def _number(self, to, data):
        return int(self.call("eth_call", {"to": to, "data": data}, "latest"), 16)
