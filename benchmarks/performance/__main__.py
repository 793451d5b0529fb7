"""Fit the performance model's constants and test them on rows kept out by model family and by accelerator.

`make fit-performance ECOSERVE_DATA=…` prints constants and errors; with WRITE=1 it writes the constants
into core/ecoserve/performance/efficiency.py, the errors to expect into expected_errors.yaml beside it, and the
tables into docs/models.md. A few minutes on two cores.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from performance.fitting import Fold, fit, log_errors
from performance.measurements import Measured, load
from performance.report import Outcome, error_tables, write_constants, write_docs, write_expected_errors


def _family(row: Measured) -> str:
    return row.family


def _device(row: Measured) -> str:
    return row.point.device


def main() -> int:
    """Run the fit; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", default=os.environ.get("ECOSERVE_DATA"), help="folder that holds performance/"
    )
    parser.add_argument("--write", action="store_true", help="write constants, expected errors and tables")
    arguments = parser.parse_args()
    folder = Path(arguments.data or "") / "performance"
    if not arguments.data or not folder.is_dir():
        print("error: --data or ECOSERVE_DATA must name a folder that holds performance/", file=sys.stderr)
        return 2
    rows = load(folder)
    on_processors = [row for row in rows if row.source == "llama.cpp"]
    sound = [row for row in rows if not row.disturbed and row not in on_processors]
    constants = fit(sound)
    for field in fields(constants):
        print(f"{field.name} = {getattr(constants, field.name):.3g}")
    folds = [Fold(_family, name) for name in sorted({row.family for row in sound})]
    folds += [Fold(_device, name) for name in sorted({row.point.device for row in sound})]
    outcomes = [Outcome("fitted", row, log_errors(row, constants)) for row in sound]
    outcomes += [Outcome("disturbed", row, log_errors(row, constants)) for row in rows if row.disturbed]
    with_host = [replace(row, devices_alone=False) for row in sound if row.devices_alone]
    outcomes += [Outcome("with host", row, log_errors(row, constants)) for row in with_host]
    outcomes += [Outcome("processor", row, log_errors(row)) for row in on_processors]
    with ProcessPoolExecutor(2) as pool, Progress(transient=True) as bar:
        task = bar.add_task("fits with a family or accelerator kept out", total=len(folds))
        jobs = [(fold, pool.submit(fold.errors, sound, constants)) for fold in folds]
        for fold, job in jobs:
            kind = "family" if fold.kept_out_by is _family else "device"
            outcomes += [Outcome(kind, row, errors) for row, errors in job.result()]
            bar.advance(task)
    tables = error_tables(outcomes)
    print(tables)
    if arguments.write:
        write_constants(constants)
        write_expected_errors(outcomes)
        write_docs(tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
