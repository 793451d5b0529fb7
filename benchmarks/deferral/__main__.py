"""What waiting for a cleaner hour saves on real days: `make bench-deferral`. The last line is one JSON object.

Each run plays two days hour by hour with a forecast of yesterday's hours made anew each hour, beside everything at
once and perfect foresight. Needs ECOSERVE_DATA, a folder whose carbon/ holds the hourly intensities named below.
"""

import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ecoserve.carbon import parse_intensity_csv
from ecoserve.cli.sources import Sources, read_sources
from ecoserve.planner.horizon import grams_of
from ecoserve.planner.outlook import GridSeries, Outlook
from ecoserve.simulation.deferral import simulate_deferral
from ecoserve.workload.forecast import of_intensity

GRIDS = {
    "California (CISO)": "CISO_NG_avgCI_2022.csv",
    "New York (NYIS)": "NYIS_NG_avgCI_2022.csv",
    "Great Britain": "GB_2023_hourly.csv",
    "Germany (DE-LU)": "DE-LU_2023_hourly.csv",
}
MONTHS = (1, 4, 7)
HOURS = 48
SERVING = """
apiVersion: ecoserve.dev/v1alpha1
kind: LLMServing
metadata: {name: chat, namespace: bench}
spec:
  model: {name: meta-llama/Llama-3.1-8B-Instruct}
  online:
    slo: {ttft: 1s, tpot: 60ms}
    load: {trace: {name: azure-conversation-2023, scale: 4}, profile: azure-conversation-2024}
  offline:
    deadline: 24h
    load: {trace: {name: azure-code-2023, scale: 4}}
  policy: {mode: Recommend}
"""
FLEET = """
nodes:
  - {sku: Standard_NC24ads_A100_v4, count: 12, zone: here, installed: 2022-01-01}
  - {sku: g6.48xlarge, count: 2, zone: here, installed: 2022-01-01}
"""


def _around(path: Path, start: datetime) -> str:
    """Return the header and the rows from a day before `start` to the end of the run; exports have gaps elsewhere."""
    header, *rows = path.read_text(encoding="utf-8-sig").splitlines()
    wanted = {f"{start + timedelta(days=day):%Y-%m-%d}" for day in range(-1, HOURS // 24)}
    return "\n".join([header, *(row for row in rows if row[:10] in wanted)])


def main() -> None:
    """Run every grid and day, and print a table."""
    folder = Path(os.environ.get("ECOSERVE_DATA", "")) / "carbon"
    if not os.environ.get("ECOSERVE_DATA") or not folder.is_dir():
        sys.exit("bench-deferral: set ECOSERVE_DATA to a folder whose carbon/ holds hourly intensities")
    runs = []
    print(
        "| grid | two days from | forecast off by | offline part | saved of all | of that part | foresight | late |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with Progress(console=Console(stderr=True), transient=True) as bar, TemporaryDirectory() as files:
        task = bar.add_task("runs", total=len(GRIDS) * len(MONTHS))
        (Path(files) / "serving.yaml").write_text(SERVING)
        (Path(files) / "fleet.yaml").write_text(FLEET)
        base = read_sources([Path(files)], ["0"])
        for grid, name in GRIDS.items():
            for month in MONTHS:
                runs.append(_run(base, grid, folder / name, month))
                print(_row(runs[-1]), flush=True)
                bar.advance(task)
    print(json.dumps({"hours": HOURS, "runs": runs}))


def _run(base: Sources, grid: str, path: Path, month: int) -> dict[str, Any]:
    year = 2022 if "2022" in path.name else 2023
    start = datetime.fromisoformat(f"{year}-{month:02}-17T00:00:00+00:00")
    series = of_intensity(parse_intensity_csv(_around(path, start)))
    actual = Outlook(snapshot_at=base.snapshot_at, grids={"here": GridSeries(series=series)})
    found = simulate_deferral(actual, start, hours=HOURS)
    offline = found.offline_grams_at_once
    return {
        "grid": grid,
        "from": f"{start:%Y-%m-%d}",
        "forecast_error": found.accuracy["here"].mape,
        "grams_at_once": found.grams_at_once,
        "offline_share": offline / found.grams_at_once,
        "saved_of_all": 1 - found.grams / found.grams_at_once,
        "saved_of_offline": (found.grams_at_once - found.grams) / offline,
        "foresight_of_offline": (found.grams_at_once - found.grams_foresight) / offline,
        "regret_grams": found.regret_grams,
        "late_requests": found.late_requests,
        "online_grams": grams_of(found.without),
    }


def _row(run: dict[str, Any]) -> str:
    cells = (
        run["grid"],
        run["from"],
        f"{run['forecast_error']:.0%}",
        f"{run['offline_share']:.0%}",
        f"{run['saved_of_all']:.1%}",
        f"{run['saved_of_offline']:.0%}",
        f"{run['foresight_of_offline']:.0%}",
        f"{run['late_requests']:.0f}",
    )
    return f"| {' | '.join(cells)} |"


main()
