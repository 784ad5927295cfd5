"""What both sides have in common: a folder, limits, the cost of each step, and where it stopped."""

import dataclasses
import json
import shutil
import sys

import process


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What the processes of a side run in."""

    limits: process.Limits
    environment: dict


class Side:
    """One side on one model; what is run through `attempt` ends with the first step that fails."""

    name = ""

    def __init__(self, folder, surroundings, repeat):
        self.folder = folder
        self.surroundings = surroundings
        self.repeat = repeat
        self.steps = {}
        self.stopped = {}
        self.agreement = {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def run(self, step, command, inside):
        """Runs one step in a process of its own and keeps its cost; what the process reported.

        `inside` takes the seconds that the step measured inside itself from the report.
        """
        say(f"  {self.name}: {step}")
        surroundings = self.surroundings
        cost, output = process.run(step, command, surroundings.limits, surroundings.environment)
        report = process.last_object(output)
        record = {**dataclasses.asdict(cost), "inside_seconds": inside(report)}
        self.steps.setdefault(step, []).append(record)
        return report

    def attempt(self, action, *arguments):
        """Does `action` unless the side has stopped, and stops it where a step fails."""
        if self.stopped:
            return
        try:
            action(*arguments)
        except process.Failed as failed:
            kind = "does_not_fit" if isinstance(failed, process.DoesNotFit) else "failed"
            reason = failed.reason.replace(str(self.folder), "").strip()
            self.stopped = {kind: {"step": failed.step, "reason": reason}}
            say(f"  {self.name} stops at {failed.step}: {reason}")

    def agree(self, reference):
        """On how many inputs the greatest output is where the float model has it."""
        outputs = self.outputs()
        if len(outputs) != len(reference):
            raise process.Failed("outputs", f"{len(outputs)} rows for {len(reference)} inputs")
        pairs = list(zip(outputs, reference))
        self.agreement = {
            "inputs": len(pairs),
            "agreed": sum(argmax(found) == argmax(expected) for found, expected in pairs),
            "greatest_error": max(greatest_error(*pair) for pair in pairs),
        }

    def result(self):
        """Everything known of this side, as far as it came."""
        result = {**self.facts(), **self.stopped, "steps": self.steps}
        return {**result, "agree": self.agreement} if self.agreement else result

    def write(self, name, content):
        path = self.folder / name
        path.write_text(json.dumps(content))
        return path


def argmax(values):
    return max(range(len(values)), key=values.__getitem__)


def greatest_error(found, expected):
    return max(abs(a - b) for a, b in zip(found, expected, strict=True))


def say(text):
    print(text, file=sys.stderr, flush=True)
