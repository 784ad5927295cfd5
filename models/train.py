"""Trains Assay's own models and writes their packages, or checks the ones that are there.

    python models/train.py              write models/digits, models/tumour and models/wine
    python models/train.py --check      retrain elsewhere and compare; exit 1 on any difference
    python models/train.py --validate   cross-validate the recipes inside the training split

One seed fixes the split, the starting weights, the order of the batches and the augmentation, and
numpy is held to one thread, as the order of its sums may otherwise depend on the machine's cores.
Two runs on one machine therefore give the same bytes. Another processor may round a sum differently
and so give other last digits, which is why `--check` compares the accuracy and not the weights.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from sklearn.model_selection import StratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits

import package
from recipes import RECIPES

SEED = 7
HERE = Path(__file__).resolve().parent


def split(recipe):
    """(training inputs, held-out inputs, training labels, held-out labels), raw and stratified."""
    inputs, labels = recipe.load()
    return train_test_split(inputs, labels, test_size=0.2, stratify=labels, random_state=SEED)


def build(recipe, folder):
    """Trains a model, writes its package into `folder` and returns (correct, samples)."""
    training, held_out, training_labels, held_out_labels = split(recipe)
    model = recipe.training.fit(training, training_labels, SEED)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.to_onnx(recipe))
    write(folder / "samples.json", package.samples_text(held_out, held_out_labels))
    write(folder / "example.json", package.example_text(held_out))
    correct, samples = package.measure(folder)
    write(folder / "model.toml", package.card(recipe, correct, samples, SEED))
    return correct, samples


def write(path, text):
    """Writes text the same way on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def check(recipe, scratch):
    """What is wrong with the committed package, as a list of sentences."""
    committed, fresh = HERE / recipe.name, scratch / recipe.name
    faults = []
    stated = package.read_accuracy(committed / "model.toml")
    if (measured := package.measure(committed)) != stated:
        faults.append(f"the card says {stated}, the model gives {measured}")
    if (retrained := build(recipe, fresh)) != stated:
        faults.append(f"the card says {stated}, a retrained model gives {retrained}")
    for name in ["model.toml", "samples.json", "example.json"]:
        if (committed / name).read_bytes() != (fresh / name).read_bytes():
            faults.append(f"{name} is not what this script writes")
    if (committed / "model.onnx").read_bytes() != (fresh / "model.onnx").read_bytes():
        print(f"{recipe.name}: note: retrained weights differ from the committed ones")
    return faults


def validate(recipe):
    """(correct, samples) over five folds of the training split; nothing held out is touched."""
    inputs, _, labels, _ = split(recipe)
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED).split(inputs, labels)
    correct = 0
    for fitted, kept in folds:
        model = recipe.training.fit(inputs[fitted], labels[fitted], SEED)
        scores = model.scores(inputs[kept])
        correct += int((scores.argmax(axis=1) == labels[kept]).sum())
    return correct, len(inputs)


def main():
    """Does what the command line asks for, one model after the other; returns the exit code."""
    parser = argparse.ArgumentParser(description="Trains or checks the models in this folder.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="retrain elsewhere and compare")
    mode.add_argument("--validate", action="store_true", help="cross-validate the recipes")
    arguments = parser.parse_args()

    failed = False
    with threadpool_limits(limits=1), tempfile.TemporaryDirectory() as scratch:
        for recipe in RECIPES:
            start = time.monotonic()
            if arguments.check:
                faults = check(recipe, Path(scratch))
                failed = failed or bool(faults)
                outcome = "; ".join(faults) or "as its card says"
            else:
                correct, samples = (
                    validate(recipe) if arguments.validate else build(recipe, HERE / recipe.name)
                )
                outcome = f"{correct}/{samples} = {package.decimal(correct, samples)}"
            print(f"{recipe.name}: {outcome} ({time.monotonic() - start:.0f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
