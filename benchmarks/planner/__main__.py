"""The planner against plain solvers: `make bench-planner`. The last line of output is one JSON object."""

import argparse
import json

from rich.console import Console
from suite import cases, run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small instances only, in seconds")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds a plain solver may take (30)")
    arguments = parser.parse_args()
    limit = 5.0 if arguments.quick else arguments.limit
    tick_shape = (20, 20, 20) if arguments.quick else (400, 60, 60)
    figures = run(cases(quick=arguments.quick), tick_shape, limit, Console(width=100))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
