"""NVIDIA's client for Triton, which speaks the Open Inference Protocol with binary tensors."""

import numpy
import onnxruntime
import requests
import tritonclient.http
from tritonclient.utils import InferenceServerException

from buyer import Buyer
from chain import Token
from harness import ROOT, request, sample
from payment_cases import PRICE, offer

TITLE = "assay serve, asked by tritonclient"
MODEL = "digits"
SAMPLES = 8


def run(report, gateway):
    url = f"{gateway.url}/v2/models/{MODEL}/infer"
    buyer = Buyer(gateway.keys[3])
    token = Token(gateway.rpc_url, offer(buyer, url).asset)
    client = tritonclient.http.InferenceServerClient(gateway.url.removeprefix("http://"))
    onnx = onnxruntime.InferenceSession(
        ROOT / "models/digits/model.onnx", providers=["CPUExecutionProvider"]
    )

    def paid(n, binary_in=True, binary_out=None):
        """The logits of a sample, paid for, and asked for by name unless `binary_out` is None."""
        tensor = tritonclient.http.InferInput("image", [1, 1, 8, 8], "FP32")
        tensor.set_data_from_numpy(pixels(n), binary_data=binary_in)
        outputs = None
        if binary_out is not None:
            outputs = [tritonclient.http.InferRequestedOutput("logits", binary_data=binary_out)]
        with token.charges(buyer.address, gateway.pay_to, [PRICE]):
            headers = buyer.payment_headers(url)
            result = client.infer(
                MODEL, [tensor], outputs=outputs, headers=headers, request_id=f"r{n}"
            )
        response = result.get_response()
        assert (response["model_name"], response["id"]) == (MODEL, f"r{n}"), response
        raw = binary_out is not False
        assert ("binary_data_size" in response["outputs"][0].get("parameters", {})) == raw, response
        return result.as_numpy("logits")

    def health():
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready(MODEL)
        assert not client.is_model_ready("no-such-model")
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]

    def metadata():
        model = client.get_model_metadata(MODEL)
        shown = [
            (one["name"], one["datatype"], one["shape"])
            for one in model["inputs"] + model["outputs"]
        ]
        assert shown == [("image", "FP32", [1, 1, 8, 8]), ("logits", "FP32", [1, 10])], model
        expect_status("404", lambda: client.get_model_metadata("no-such-model"))

    def unpaid():
        tensor = tritonclient.http.InferInput("image", [1, 1, 8, 8], "FP32")
        tensor.set_data_from_numpy(pixels(0))
        with token.charges(buyer.address, gateway.pay_to, []):
            expect_status("402", lambda: client.infer(MODEL, [tensor]))

    def equal():
        for n in range(SAMPLES):
            raw = paid(n)
            with token.charges(buyer.address, gateway.pay_to, [PRICE]):
                response = buyer.by_requests(url, request(n))
            text = numpy.array(response.json()["outputs"][0]["data"], dtype=numpy.float32)
            assert raw.shape == (1, 10) and raw.dtype == numpy.float32
            assert raw.tobytes() == text.tobytes(), f"sample {n}: {raw} is not {text}"
            [reference] = onnx.run(["logits"], {"image": pixels(n)})
            difference = numpy.abs(raw - reference).max()
            assert difference <= 1e-4, f"sample {n}: {difference} from onnxruntime"

    def mixtures():
        first = paid(0)
        for binary_in, binary_out in [(True, True), (True, False), (False, True), (False, False)]:
            assert paid(0, binary_in, binary_out).tobytes() == first.tobytes(), (
                binary_in,
                binary_out,
            )

    def broken():
        body, length = client.generate_request_body([filled(0)])
        headers = {"Inference-Header-Content-Length": str(length)}
        with token.charges(buyer.address, gateway.pay_to, []):
            for changed in [body[:-1], body + b"\0", body[:length]]:
                response = requests.post(url, data=changed, headers=headers, timeout=30)
                assert response.status_code == 400, response.text

    report.test("server and model say that they are ready", health)
    report.test("the model's metadata names its tensors", metadata)
    report.test("without payment infer raises the 402, and nothing is charged", unpaid)
    report.test(
        f"{SAMPLES} results are those of JSON bit by bit, and of onnxruntime to 1e-4", equal
    )
    report.test("binary and JSON tensors mix in requests and answers", mixtures)
    report.test("binary data that is cut off or too long is refused", broken)
    client.close()


def pixels(n):
    return numpy.array(sample(n), dtype=numpy.float32).reshape(1, 1, 8, 8)


def filled(n):
    tensor = tritonclient.http.InferInput("image", [1, 1, 8, 8], "FP32")
    return tensor.set_data_from_numpy(pixels(n))


def expect_status(status, call):
    try:
        result = call()
    except InferenceServerException as error:
        assert error.status() == status, error
        return
    raise AssertionError(f"expected status {status}, got {result}")
