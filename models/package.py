"""The files of a model package: writing the card and the samples, and measuring a model on them."""

import json
import tomllib

import numpy as np
import onnxruntime

CARD = """\
name = {name}
version = {version}
title = {title}
description = {description}
category = {category}
licence = "MIT OR Apache-2.0"
labels = {labels}

[[inputs]]
name = {input_name}
datatype = "FP32"
shape = {input_shape}
description = {input_description}

[[outputs]]
name = "logits"
datatype = "FP32"
shape = {output_shape}
description = {output_description}

[accuracy]
metric = "top-1"
value = {value}
correct = {correct}
samples = {samples}
split = {split}

[training]
data = {data}
script = "models/train.py"
seed = {seed}
"""


def card(recipe, correct, samples, seed):
    """The text of model.toml; our strings, numbers and lists read the same in JSON and in TOML."""
    loader = recipe.loader.__name__
    fields = {
        "name": recipe.name,
        "version": recipe.version,
        "title": recipe.title,
        "description": recipe.description,
        "category": recipe.category,
        "labels": recipe.labels,
        "input_name": recipe.input_name,
        "input_shape": recipe.input_shape,
        "input_description": recipe.input_description,
        "output_shape": [1, len(recipe.labels)],
        "output_description": recipe.output_description,
        "value": decimal(correct, samples),
        "correct": correct,
        "samples": samples,
        "split": f"held-out 20 % of scikit-learn's {loader}, stratified, seed {seed}",
        "data": recipe.data,
        "seed": seed,
    }
    return CARD.format(**{key: json.dumps(value) for key, value in fields.items()})


def decimal(correct, samples):
    """An accuracy as the card gives it."""
    return f"{correct / samples:.4f}"


def read_accuracy(path):
    """(correct, samples) of the card at `path`, which must agree with the decimal beside them."""
    accuracy = tomllib.loads(path.read_text(encoding="utf-8"))["accuracy"]
    correct, samples = accuracy["correct"], accuracy["samples"]
    if accuracy["value"] != decimal(correct, samples):
        raise ValueError(f"{path}: {accuracy['value']} is not {correct}/{samples}")
    return correct, samples


def samples_text(inputs, labels):
    """The text of samples.json: one sample per line, each number the shortest that is exact."""
    lines = []
    for values, label in zip(inputs, labels):
        numbers = ",".join(shortest(value) for value in values.astype(np.float32).ravel())
        lines.append(f'{{"label":{label},"data":[{numbers}]}}')
    return '{"samples":[\n' + ",\n".join(lines) + "\n]}\n"


def example_text(inputs):
    """The text of example.json: the first sample as an input file of `assay infer`."""
    numbers = ",".join(shortest(value) for value in inputs[0].astype(np.float32).ravel())
    return f'{{"input_data":[[{numbers}]]}}\n'


def shortest(value):
    """The shortest decimal that reads back as the single-precision `value`, by a double too."""
    text = np.format_float_positional(value, trim="-")
    if np.float32(float(text)) != value:
        raise ValueError(f"{text} does not read back as the number it was written for")
    return text


def measure(folder):
    """(correct, samples) of the model in `folder` on the samples beside it, by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        (folder / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    model_input = session.get_inputs()[0]
    samples = json.loads((folder / "samples.json").read_text(encoding="utf-8"))["samples"]
    correct = 0
    for sample in samples:
        data = np.array(sample["data"], dtype=np.float32).reshape(model_input.shape)
        logits = session.run(["logits"], {model_input.name: data})[0]
        correct += int(logits.argmax() == sample["label"])
    return correct, len(samples)
