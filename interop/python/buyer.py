"""A buyer made of the PyPI package `x402`: none of our code is in it."""

import asyncio

import requests
from eth_account import Account
from x402 import x402Client, x402ClientSync
from x402.http.clients.httpx import wrapHttpxWithPayment
from x402.http.clients.requests import wrapRequestsWithPayment
from x402.http.x402_http_client import x402HTTPClientSync
from x402.mechanisms.evm.exact.register import register_exact_evm_client
from x402.mechanisms.evm.signers import EthAccountSigner, EthAccountSignerWithRPC
from x402.mechanisms.evm.upto import UptoEvmScheme

NETWORK = "eip155:31337"
TIMEOUT = 30


class Buyer:
    """Pays by `exact`, or with a chain to ask what Permit2 may move by `upto` alone."""

    def __init__(self, key, rpc_url=None):
        account = Account.from_key(key)
        self.address = account.address
        self.is_upto = rpc_url is not None
        self.signer = (
            EthAccountSignerWithRPC(account, rpc_url) if rpc_url else EthAccountSigner(account)
        )
        self.http = x402HTTPClientSync(self.client(x402ClientSync))

    def client(self, kind):
        if self.is_upto:
            client = kind().register(NETWORK, UptoEvmScheme(self.signer))
        else:
            client = register_exact_evm_client(kind(), self.signer, NETWORK)
        # By default only well-known stablecoins are paid with; the development token is none.
        return client.set_spend_controls(False)

    def by_requests(self, url, body, headers=None):
        session = wrapRequestsWithPayment(requests.Session(), self.client(x402ClientSync))
        return session.post(url, json=body, headers=headers, timeout=TIMEOUT)

    def by_httpx(self, url, body):
        async def post():
            async with wrapHttpxWithPayment(self.client(x402Client), timeout=TIMEOUT) as client:
                return await client.post(url, json=body)

        return asyncio.run(post())

    def settlement(self, response):
        """The settlement in a response's header."""
        return self.http.get_payment_settle_response(response.headers.get)

    def payment_headers(self, url):
        """The headers that pay for one request to this URL."""
        response = requests.post(url, timeout=TIMEOUT)
        assert response.status_code == 402, response.text
        headers, _ = self.http.handle_402_response(dict(response.headers), response.content, url)
        return headers
