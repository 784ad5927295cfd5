"""The tables of a results file, as Markdown.

    python3 report.py [RESULTS.json]
"""

import json
import pathlib
import statistics
import sys

EMPTY = ""
TITLES = {"ezkl": "EZKL", "before": "Assay, before", "assay": "Assay"}
TIMES = ("setup", "prove", "verify")


def markdown(results):
    """Everything there is to say about one run."""
    parts = [heading(results), sides(results["models"])]
    if any("assay" in model for model in results["models"]):
        parts.append(overhead(results["models"]))
    parts.append(before(results["models"]))
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
    busy = max(model["busy_cores_before"] for model in results["models"])
    counts = {"assay": results["options"]["repeat"], "ezkl": results["options"]["repeat_ezkl"]}
    repeats = " and ".join(
        f"{counts[side]} ({TITLES[side]})" for side in results["options"]["sides"]
    )
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['vectors']}, "
        f"{size(machine['memory_bytes'])}, {machine['system']}; {programs}; "
        f"{results['started'][:10]}; up to {busy:.1f} cores busy with other work; "
        f"medians of {repeats}."
    )


def sides(models):
    """Both sides model by model, and how often ours goes into EZKL's."""
    rows = []
    for model in models:
        name = f"{model['title']}, {thousands(model['weights'])} weights"
        figures = {}
        sides = (("ezkl", ezkl_figures), ("before", assay_figures), ("assay", assay_figures))
        for side, read in sides:
            if side in model:
                figures[side] = read(model[side])
                rows.append([name, TITLES[side], *cells(figures[side], model[side])])
                name = EMPTY
        figures.pop("before", None)
        if len(figures) == 2:
            rows.append([EMPTY, "EZKL / Assay", *ratios(**figures), EMPTY])
    header = ["model", "", "setup", "prove", "verify", "proof", "prover's file",
              "verifier's file", "memory of setup", "memory of prove", "argmax as float"]
    return table(header, rows)


def ezkl_figures(facts):
    """EZKL's figures: its calls without the start of Python."""
    setup = ("settings", "calibrate", "compile", "setup")
    parts = [median(facts, step, "inside_seconds") for step in setup]
    return {
        "setup": None if None in parts else sum(parts),
        "prove": median(facts, "prove", "inside_seconds"),
        "verify": median(facts, "verify", "inside_seconds"),
        "proof": facts.get("proof_bytes"),
        "program": facts.get("proving_key_bytes"),
        "key": facts.get("verifying_key_bytes"),
        "setup_peak": peak(facts, *setup) if "setup" in facts["steps"] else None,
        "prove_peak": peak(facts, "prove"),
    }


def assay_figures(facts):
    """Assay's figures: whole commands, start of the process and reading of files included."""
    return {
        "setup": median(facts, "compile", "wall_seconds"),
        "prove": median(facts, "prove-1", "wall_seconds"),
        "verify": median(facts, "verify-1", "wall_seconds"),
        "proof": facts["proof_bytes"].get("1"),
        "program": facts.get("program_bytes"),
        "key": facts.get("verifying_key_bytes"),
        "setup_peak": peak(facts, "compile"),
        "prove_peak": peak(facts, "prove-1"),
    }


def cells(figures, facts):
    """The figures of one side as text; in place of the first that is missing, why."""
    found = [None if value is None else (duration if name in TIMES else size)(value)
             for name, value in figures.items()]
    for place, step in ((1, "prove-1"), (2, "verify-1")):
        inside = median(facts, step, "inside_seconds")
        if inside is not None:
            found[place] += f" (inside {duration(inside)})"
    if None in found:
        found[found.index(None)] = stopped(facts)
    return [*(text or EMPTY for text in found), agreement(facts)]


def ratios(ezkl, assay):
    """EZKL's figures divided by ours, where both are known."""
    return [EMPTY if None in (ezkl[name], ours) else factor(ezkl[name], ours)
            for name, ours in assay.items()]


def overhead(models):
    """What a proof costs beside the inference itself, alone and in batches."""
    rows, sizes = [], []
    for model in models:
        facts = model.get("assay", {"steps": {}})
        sizes = sizes or proved(facts)
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


def before(models):
    """The other binary's figures by ours, model by model: least processor time and least time inside.

    Least, because what else runs on a machine only ever adds to both.
    """
    rows = []
    for model in models:
        if "before" not in model or "assay" not in model:
            continue
        sides = [model["before"], model["assay"]]
        steps = [("compile", "compile")]
        for count in proved(model["assay"]):
            steps += [(f"prove-{count}", f"prove {count}"), (f"verify-{count}", f"verify {count}")]
        for step, title in steps:
            row = [model["title"], title]
            for field in ("inside_seconds", "cpu_seconds"):
                pair = [least(side, step, field) for side in sides]
                row += ([EMPTY] * 2 if None in pair else
                        [f"{duration(pair[0])} / {duration(pair[1])}", factor(*pair)])
            memory = [peak(side, step) for side in sides]
            row += [EMPTY] * 2 if None in memory else [
                f"{size(memory[0])} / {size(memory[1])}", factor(*memory)]
            rows.append(row)
    header = ["model", "step", "least time inside, before / now", "ratio",
              "least processor time of the command", "ratio", "peak memory", "ratio"]
    return table(header, rows) if rows else EMPTY


def proved(facts):
    """The sizes of the batches that were proven."""
    return [int(step[6:]) for step in facts["steps"] if step.startswith("prove-")]


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
            f"{chosen['rows']:,} rows in columns of 2^{chosen['logrows']}; "
            f"input {visibility['input']}, weights {visibility['param']}, "
            f"output {visibility['output']}."
        )
    for side in ("ezkl", "assay"):
        found = {model[side]["security_bits"] for model in models
                 if "security_bits" in model.get(side, {})}
        lines += [f"- {TITLES[side]}: {bits} bits of security." for bits in sorted(found)]
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


def least(facts, step, field):
    values = [cost[field] for cost in facts["steps"].get(step, [])]
    return None if not values or None in values else min(values)


def peak(facts, *steps):
    """The most memory that any of the steps took."""
    values = [cost["peak_bytes"] for step in steps for cost in facts["steps"].get(step, [])]
    return max(values, default=None)


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
