"""Runs every case against the assay binary:

python run.py [--assay FILE]      by default target/debug/assay of this checkout
"""

import argparse
import functools
import sys
from pathlib import Path

import payment_cases
import receipt_cases
import triton_cases
from harness import ROOT, Gateway, Report, stop_after

TOTAL_SECONDS = 300


def main():
    parser = argparse.ArgumentParser(
        description="Runs programs by others against the assay binary."
    )
    parser.add_argument("--assay", type=Path, default=ROOT / "target/debug/assay")
    binary = parser.parse_args().assay.resolve()
    if not binary.exists():
        sys.exit(f"{binary}: there is no such binary; build it with cargo")
    stop_after(TOTAL_SECONDS)
    report = Report()
    gateway = report.test("assay serve starts", lambda: Gateway(str(binary)))
    if gateway is not None:
        for cases in [payment_cases, triton_cases, receipt_cases]:
            report.group(cases.TITLE, functools.partial(cases.run, report, gateway))
        print()
        report.test("assay serve stops on SIGTERM with exit code 0", gateway.stop)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
