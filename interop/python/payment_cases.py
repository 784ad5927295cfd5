"""The PyPI package `x402` pays a gateway."""

import requests

from buyer import Buyer
from chain import Token
from harness import request

TITLE = "assay serve, paid by PyPI x402"
PRICE = 1000


def run(report, gateway):
    url = f"{gateway.url}/v2/models/digits/infer"
    buyer = Buyer(gateway.keys[2])
    token = Token(gateway.rpc_url, offer(buyer, url).asset)

    def bought(response, transactions):
        assert response.status_code == 200, response.text
        settlement = buyer.settlement(response)
        assert settlement.success and settlement.transaction == transactions[0], settlement
        [logits] = response.json()["outputs"]
        assert (logits["name"], logits["shape"], len(logits["data"])) == ("logits", [1, 10], 10)
        file = fetch_bundle(gateway, response.headers)
        gateway.assert_simulated(file, buyer.address, PRICE, transactions[0])

    def by_requests():
        with token.charges(buyer.address, gateway.pay_to, [PRICE]) as transactions:
            response = buyer.by_requests(url, request(0))
        bought(response, transactions)

    def by_httpx():
        with token.charges(buyer.address, gateway.pay_to, [PRICE]) as transactions:
            response = buyer.by_httpx(url, request(1))
        bought(response, transactions)

    def transaction():
        data = [{"$from": "first", "pointer": "/outputs/0/data/3"}, *range(1, 30)]
        features = {"name": "features", "shape": [1, 30], "datatype": "FP32", "data": data}
        first = {"id": "first", "model": "digits", "method": "zkml", "input": request(0)}
        second = {"id": "second", "model": "tumour", "method": "signed"}
        second["input"] = {"inputs": [features]}
        with token.charges(buyer.address, gateway.pay_to, [6 * PRICE]) as transactions:
            response = buyer.by_requests(
                f"{gateway.url}/v1/transactions", {"items": [first, second]}
            )
        assert response.status_code == 200, response.text
        assert buyer.settlement(response).transaction == transactions[0]
        methods = [(item["id"], item["method"]) for item in response.json()["items"]]
        assert methods == [("first", "zkml"), ("second", "signed")], methods
        fetch_bundle(gateway, response.headers)

    def each():
        short = {"id": "short", "model": "digits", "method": "zkml", "timeoutMs": 1}
        built = [{"$from": "short", "pointer": "/outputs/0/data/3"}, *range(1, 30)]
        features = {"name": "features", "shape": [1, 30], "datatype": "FP32", "data": built}
        after = {"id": "after", "model": "tumour", "method": "signed"}
        items = [
            {"id": "plain", "model": "digits", "method": "signed", "input": request(0)},
            short | {"input": request(1)},
            after | {"input": {"inputs": [features]}},
        ]
        paying = Buyer(gateway.keys[2], gateway.rpc_url)
        with token.charges(buyer.address, gateway.pay_to, [6 * PRICE]) as transactions:
            response = paying.by_requests(
                f"{gateway.url}/v1/transactions", {"items": items, "outcomePolicy": "each"}
            )
        assert response.status_code == 200, response.text
        settlement = paying.settlement(response)
        assert settlement.success and settlement.transaction == transactions[0], settlement
        failed = [item.get("failed", {}).get("reason") for item in response.json()["items"]]
        assert failed == [None, "timeout_below_floor", "source_failed"], failed
        fetch_bundle(gateway, response.headers)

    def wrong_requests():
        wrong = {"inputs": [{"name": "image", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
        with token.charges(buyer.address, gateway.pay_to, []):
            response = buyer.by_requests(url, wrong)
            assert (response.status_code, response.json()["code"]) == (400, "wrong_shape"), (
                response.text
            )
            paid = requests.post(url, json=wrong, headers=buyer.payment_headers(url), timeout=30)
            assert (paid.status_code, paid.json()["code"]) == (400, "wrong_shape"), paid.text

    report.test("an inference is bought through requests, charged once, and verifies", by_requests)
    report.test("an inference is bought through httpx, charged once, and verifies", by_httpx)
    report.test("a mixed transaction is bought by one payment, and charged once", transaction)
    report.test("what failed is not charged: a transaction is paid by upto", each)
    report.test(
        "a wrong request is refused before and with a payment, and costs nothing", wrong_requests
    )


def offer(buyer, url):
    """The offer that stock clients take from the 402 for a URL, as PyPI x402 reads it: the first."""
    response = requests.post(url, timeout=30)
    required = buyer.http.get_payment_required_response(response.headers.get, response.json())
    assert required.x402_version == 2
    first = required.accepts[0]
    assert (first.scheme, first.network, first.amount) == ("exact", "eip155:31337", str(PRICE))
    assert first.extra["method"] == "signed", first.extra
    return first


def fetch_bundle(gateway, headers):
    """The bundle of the purchase that was answered with these headers."""
    url = f"{gateway.url}/v1/receipts/{headers['Assay-Transaction']}"
    token = {"Authorization": f"Bearer {headers['Assay-Access-Token']}"}
    response = requests.get(url, headers=token, timeout=30)
    assert response.status_code == 200, response.text
    return response.content
