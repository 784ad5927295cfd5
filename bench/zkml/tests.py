"""Tests of the measuring itself: `python3 bench/zkml/tests.py`."""

import pathlib
import sys
import tempfile
import unittest

import process
import report
from side import Side, Surroundings

ROOMY = process.Limits(memory_bytes=2_000_000_000, seconds=60)


def python(program):
    """The command that runs a few lines of Python."""
    return [sys.executable, "-c", program]


class Processes(unittest.TestCase):
    def test_what_a_process_holds_is_in_its_peak(self):
        program = "held = bytearray(200_000_000); held[::4096] = b'1' * len(held[::4096])"
        cost, _ = process.run("hold", python(program), ROOMY)
        self.assertGreater(cost.peak_bytes, 200_000_000)
        self.assertLess(cost.peak_bytes, 300_000_000)

    def test_the_peak_of_one_process_is_not_in_the_next(self):
        process.run("hold", python("bytes(b'1' * 200_000_000)"), ROOMY)
        cost, _ = process.run("nothing", python(""), ROOMY)
        self.assertLess(cost.peak_bytes, 100_000_000)

    def test_a_step_past_its_memory_is_stopped(self):
        limits = process.Limits(memory_bytes=100_000_000, seconds=60)
        program = "import time; held = b'1' * 200_000_000; time.sleep(60)"
        with self.assertRaisesRegex(process.DoesNotFit, "limit of 0.1 GB of memory"):
            process.run("hold", python(program), limits)

    def test_a_step_past_its_time_is_stopped(self):
        limits = process.Limits(memory_bytes=2_000_000_000, seconds=0.1)
        with self.assertRaisesRegex(process.DoesNotFit, "not done after"):
            process.run("sleep", python("import time; time.sleep(60)"), limits)

    def test_a_failure_has_the_last_line_of_its_error(self):
        with self.assertRaisesRegex(process.Failed, "quit: exit 1: ValueError: why"):
            process.run("quit", python("raise ValueError('why')"), ROOMY)

    def test_the_report_is_the_last_object(self):
        self.assertEqual(process.last_object('{"a": 1}\n{"a": 2}\nnoise\n'), {"a": 2})


class Attempts(unittest.TestCase):
    def side(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Side(pathlib.Path(folder.name) / "side", Surroundings(ROOMY, None), 1)

    def test_a_side_does_nothing_after_a_step_that_fails(self):
        side, done = self.side(), []

        def fail():
            raise process.DoesNotFit("setup", "too large")

        side.attempt(fail)
        side.attempt(done.append, 1)
        self.assertEqual(done, [])
        self.assertEqual(side.stopped, {"does_not_fit": {"step": "setup", "reason": "too large"}})

    def test_agreement_counts_where_the_greatest_is(self):
        side = self.side()
        side.outputs = lambda: [[1.0, 2.0], [1.0, 2.0]]
        side.agree([[1.0, 2.5], [2.0, 1.0]])
        self.assertEqual(side.agreement, {"inputs": 2, "agreed": 1, "greatest_error": 1.0})


class Cells(unittest.TestCase):
    def test_quantities_have_two_digits_and_a_unit(self):
        self.assertEqual(report.duration(0.0123), "12 ms")
        self.assertEqual(report.duration(125.4), "125 s")
        self.assertEqual(report.size(2_400_000_000), "2.4 GB")
        self.assertEqual(report.factor(3.0, 2.0), "1.5x")


class Before(unittest.TestCase):
    @staticmethod
    def facts(inside, cpu, peak):
        steps = {"prove-1": [
            {"inside_seconds": 2 * inside, "cpu_seconds": cpu, "peak_bytes": peak},
            {"inside_seconds": inside, "cpu_seconds": 3 * cpu, "peak_bytes": peak // 2},
        ]}
        return {"steps": steps, "proof_bytes": {}}

    def test_the_least_of_both_are_compared(self):
        model = {"title": "net", "before": self.facts(0.4, 0.6, 80_000_000)}
        model["assay"] = self.facts(0.2, 0.5, 20_000_000)
        lines = report.before([model]).splitlines()
        expected = ("| net | prove 1 | 400 ms / 200 ms | 2.0x | 600 ms / 500 ms | 1.2x "
                    "| 80 MB / 20 MB | 4.0x |")
        self.assertIn(expected, lines)

    def test_nothing_is_said_without_another_binary(self):
        self.assertEqual(report.before([{"title": "net", "assay": self.facts(1, 1, 1)}]), "")


if __name__ == "__main__":
    unittest.main()
