"""The float model in onnxruntime: what both sides are held against.

    python reference.py MODEL.onnx DESCRIPTION.json

Prints one JSON object: the logits of every row of `agree`, and the median time of one inference on
one thread in microseconds.
"""

import json
import pathlib
import statistics
import sys
import time

import numpy as np
import onnxruntime

WARM_UP = 20
TIMED = 200


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def microseconds(run, rows):
    """The median time of one inference, after some that are not counted."""
    times = []
    for index in range(WARM_UP + TIMED):
        start = time.perf_counter_ns()
        run(rows[index % len(rows)])
        times.append((time.perf_counter_ns() - start) / 1000)
    return statistics.median(times[WARM_UP:])


def main():
    model, description = sys.argv[1:]
    description = json.loads(pathlib.Path(description).read_text())
    shape = [1, *description["input_shape"]]
    network = session(model)
    rows = [np.array(row, np.float32).reshape(shape) for row in description["inputs"]["agree"]]

    def run(row):
        return network.run(None, {"input": row})[0][0]

    outputs = [run(row).tolist() for row in rows]
    print(json.dumps({"outputs": outputs, "float_us": microseconds(run, rows)}))


if __name__ == "__main__":
    main()
