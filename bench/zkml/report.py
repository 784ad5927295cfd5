"""The tables of a results file, as Markdown.

    python3 report.py [RESULTS.json]
"""

import json
import pathlib
import statistics
import sys

EMPTY = ""


def markdown(results):
    """Everything there is to say about one run."""
    parts = [heading(results), sides(results["models"])]
    if any("assay" in model for model in results["models"]):
        parts.append(overhead(results["models"]))
    parts.append(settings(results["models"]))
    return "\n\n".join(part for part in parts if part)


def heading(results):
    """Machine, versions and date in one paragraph."""
    machine, versions = results["machine"], results["versions"]
    programs = ", ".join(
        text for text in (
            versions.get("assay"),
            f"commit {versions['commit']}",
            f"EZKL {versions['ezkl']}",
            f"onnxruntime {versions['onnxruntime']}",
        ) if text
    )
    loads = [model["load_before"] for model in results["models"]]
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['vectors']}, "
        f"{size(machine['memory_bytes'])}, {machine['system']}; {programs}; "
        f"{results['started'][:10]}; load before each model {min(loads):.1f} to {max(loads):.1f}; "
        f"medians of {results['options']['repeat']} (Assay) and "
        f"{results['options']['repeat_ezkl']} (EZKL)."
    )


def sides(models):
    """Both sides model by model, and how often one goes into the other."""
    rows = []
    for model in models:
        name = f"{model['title']}, {thousands(model['weights'])} weights"
        ezkl, assay = ezkl_row(model.get("ezkl")), assay_row(model.get("assay"))
        for title, row in (("EZKL", ezkl), ("Assay", assay)):
            if row is not None:
                rows.append([name, title, *row["cells"]])
                name = EMPTY
        if ezkl and assay and ezkl["figures"] and assay["figures"]:
            rows.append([EMPTY, "EZKL / Assay", *ratios(ezkl["figures"], assay["figures"])])
    header = ["model", "", "setup", "prove", "verify", "proof", "prover's file",
              "verifier's file", "memory: setup, prove", "argmax as float"]
    return table(header, rows)


def ezkl_row(facts):
    """EZKL's cells: its calls without the start of Python."""
    if facts is None:
        return None
    if "setup" not in facts["steps"] or "prove" not in facts["steps"]:
        return {"cells": [stopped(facts), *[EMPTY] * 7], "figures": None}
    parts = ["settings", "calibrate", "compile", "setup"]
    figures = {
        "setup": sum(median(facts, part, "inside_seconds") for part in parts),
        "prove": median(facts, "prove", "inside_seconds"),
        "verify": median(facts, "verify", "inside_seconds"),
        "proof": facts["proof_bytes"],
        "program": facts["proving_key_bytes"],
        "key": facts["verifying_key_bytes"],
        "peaks": [max(peak(facts, part) for part in parts), peak(facts, "prove")],
    }
    return {"cells": cells(figures, facts), "figures": figures}


def assay_row(facts):
    """Assay's cells: its whole commands, start of the process and reading of files included."""
    if facts is None:
        return None
    if "verify-1" not in facts["steps"]:
        return {"cells": [stopped(facts), *[EMPTY] * 7], "figures": None}
    figures = {
        "setup": median(facts, "compile", "wall_seconds"),
        "prove": median(facts, "prove-1", "wall_seconds"),
        "verify": median(facts, "verify-1", "wall_seconds"),
        "proof": facts["proof_bytes"]["1"],
        "program": facts["program_bytes"],
        "key": facts["verifying_key_bytes"],
        "peaks": [peak(facts, "compile"), peak(facts, "prove-1")],
    }
    found = cells(figures, facts)
    for place, step in ((1, "prove-1"), (2, "verify-1")):
        inside = median(facts, step, "inside_seconds")
        if inside is not None:
            found[place] += f" (inside {duration(inside)})"
    return {"cells": found, "figures": figures}


def cells(figures, facts):
    times = [duration(figures[name]) for name in ("setup", "prove", "verify")]
    sizes = [size(figures[name]) for name in ("proof", "program", "key")]
    return [*times, *sizes, ", ".join(map(size, figures["peaks"])), agreement(facts)]


def ratios(ezkl, assay):
    names = ("setup", "prove", "verify", "proof", "program", "key")
    found = [factor(ezkl[name], assay[name]) for name in names]
    peaks = [factor(theirs, ours) for theirs, ours in zip(ezkl["peaks"], assay["peaks"])]
    return [*found, ", ".join(peaks), EMPTY]


def overhead(models):
    """What a proof costs beside the inference itself, alone and in batches."""
    rows, sizes = [], []
    for model in models:
        facts = model.get("assay", {"steps": {}})
        sizes = sizes or [int(step[6:]) for step in facts["steps"] if step.startswith("prove-")]
        plain = facts.get("float_us", model["float_us"]) / 1e6
        source = "tract" if "float_us" in facts else "onnxruntime"
        row = [model["title"], f"{duration(plain)} ({source})"]
        for count in sizes:
            if f"prove-{count}" not in facts["steps"]:
                row.append(stopped(facts))
                continue
            each = (median(facts, f"prove-{count}", "inside_seconds")
                    or median(facts, f"prove-{count}", "wall_seconds")) / count
            row.append(f"{duration(each)} = {factor(each, plain)}")
        rows.append(row)
    header = ["model", "float inference, one thread"]
    header += [f"proof of {count}, per inference" for count in sizes]
    return table(header, rows) if sizes else EMPTY


def settings(models):
    """What EZKL's calibration chose, and the security that each side states."""
    lines = []
    for model in models:
        chosen = model.get("ezkl", {}).get("settings")
        if chosen is None:
            continue
        visibility = chosen["visibility"]
        lines.append(
            f"- EZKL, {model['title']}: target {chosen['target']}, scale of inputs "
            f"2^{chosen['input_scale']} and weights 2^{chosen['param_scale']}, "
            f"2^{chosen['logrows']} rows; input {visibility['input']}, weights "
            f"{visibility['param']}, output {visibility['output']}."
        )
    for side in ("ezkl", "assay"):
        found = {model[side]["security_bits"] for model in models
                 if "security_bits" in model.get(side, {})}
        title = {"ezkl": "EZKL: about", "assay": "Assay:"}[side]
        lines += [f"- {title} {bits} bits of security." for bits in sorted(found)]
    return "\n".join(lines)


# --- Cells ----------------------------------------------------------------------------------------


def agreement(facts):
    if "agree" not in facts:
        return EMPTY
    return f"{facts['agree']['agreed']} of {facts['agree']['inputs']}"


def stopped(facts):
    """Why a side has no figures."""
    for kind, words in (("does_not_fit", "does not fit"), ("failed", "fails")):
        if kind in facts:
            return f"{words}: {facts[kind]['step']}, {facts[kind]['reason']}"
    return EMPTY


def median(facts, step, field):
    values = [cost[field] for cost in facts["steps"].get(step, [])]
    return None if not values or None in values else statistics.median(values)


def peak(facts, step):
    return max(cost["peak_bytes"] for cost in facts["steps"][step])


def duration(seconds):
    for unit, length in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= length:
            break
    return f"{digits(seconds / length)} {unit}"


def size(count):
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1)):
        if count >= length:
            break
    return f"{digits(count / length)} {unit}"


def factor(ours, theirs):
    return f"{digits(ours / theirs)}x"


def digits(value):
    """Two digits that count, and all of those before the point."""
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def thousands(count):
    return f"{count / 1e6:.1f}M" if count >= 1e6 else f"{count / 1e3:.0f}k"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main():
    here = pathlib.Path(__file__).resolve().parent
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "results.json"
    print(markdown(json.loads(path.read_text())))


if __name__ == "__main__":
    main()
