"""`ecoserve capacity`: the highest rate of one replica within an objective, what bounds it, and how it is when simulated."""

import json
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ecoserve.catalog import load_catalog
from ecoserve.cli.console import spinner
from ecoserve.errors import InvalidInputError
from ecoserve.performance import (
    CapacityLimit,
    Engine,
    Question,
    Rejection,
    ReplicaCapacity,
    Role,
    Slo,
    capacity_range,
    replica_capacities,
)
from ecoserve.performance.capacity import MOST_ARRIVAL_CV
from ecoserve.performance.expected_error import expected_error
from ecoserve.performance.points import engine_on_gpu
from ecoserve.simulation.arrivals import Stream
from ecoserve.simulation.attainment import ReplicaRun, Share, simulate_replica
from ecoserve.units import parse_duration
from ecoserve.workload.lengths import single_length

_UNSERVED = 3
_MOST_REQUESTS = 1_000_000
_IN_WORDS = {
    CapacityLimit.TTFT: "TTFT: prompts wait for those before them",
    CapacityLimit.TPOT: "TPOT: steps grow with the batch and with prefills beside them",
    CapacityLimit.KV_MEMORY: "KV memory: requests wait for room",
    CapacityLimit.BATCH_LIMIT: "the engine's limit of sequences: requests wait for a slot",
    CapacityLimit.CHUNKED_PREFILL: "chunked prefill: steps have no room for more prompts",
    CapacityLimit.SATURATION: "saturation: the objective would hold beyond it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expected:
    """The relative error to expect of step times, and the rates if they are so much too short or too long."""

    step_times: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityRequest:
    """What was asked for at the command line."""

    model: str
    gpu: str
    tensor_parallel: int
    precision: str
    role: str
    input_tokens: float
    output_tokens: float
    ttft: str
    tpot: str
    percentile: float
    burstiness: float
    requests: int
    seed: int


def run_capacity(request: CapacityRequest, *, simulate: bool, as_json: bool, console: Console) -> int:
    """Find a replica's capacity, simulate it if asked, and print; returns the exit status."""
    engine = _engine(request)
    slo = Slo(
        ttft_seconds=_seconds("--ttft", request.ttft),
        tpot_seconds=_seconds("--tpot", request.tpot),
        percentile=request.percentile,
    )
    if not 1000 <= request.requests <= _MOST_REQUESTS:
        raise InvalidInputError("--requests", request.requests, f"1000 to {_MOST_REQUESTS}")
    if not 0 <= request.burstiness <= MOST_ARRIVAL_CV:
        raise InvalidInputError("--burstiness", request.burstiness, f"0 to {MOST_ARRIVAL_CV:g}")
    question = Question(
        engine=engine,
        input_tokens=request.input_tokens,
        output_tokens=request.output_tokens,
        slo=slo,
        arrival_cv=request.burstiness,
    )
    [found] = replica_capacities([question])
    if isinstance(found, Rejection):
        _refuse(found, as_json=as_json, console=console)
        return _UNSERVED
    expected = _expected(question)
    run = None
    if simulate:
        with nullcontext() if as_json else spinner(f"simulating {request.requests:,} requests"):
            run = _simulated(request, engine, found)
    if as_json:
        json.dump(_document(found, expected, run, slo), sys.stdout, indent=2)
        print()
    else:
        _show(request, found, expected, run, slo, console)
    return 0


def _refuse(found: Rejection, *, as_json: bool, console: Console) -> None:
    if as_json:
        refused = {"feasible": False, "reason": found.reason.value, "detail": found.detail}
        json.dump(refused, sys.stdout, indent=2)
        print()
    else:
        console.print(f"No rate meets the objective: {found.detail} ({found.reason}).")


def _engine(request: CapacityRequest) -> Engine:
    try:
        role = Role(request.role)
    except ValueError:
        raise InvalidInputError("--role", request.role, ", ".join(Role)) from None
    return engine_on_gpu(
        load_catalog(), request.model, request.gpu, request.tensor_parallel, request.precision, role
    )


def _seconds(option: str, text: str) -> float:
    try:
        return parse_duration(text)
    except InvalidInputError as error:
        raise InvalidInputError(option, text, error.accepted) from None


def _expected(question: Question) -> _Expected:
    error = expected_error(question.engine)
    lowest, highest = capacity_range(question, error)
    return _Expected(step_times=error, lowest=lowest, highest=highest)


def _simulated(request: CapacityRequest, engine: Engine, found: ReplicaCapacity) -> ReplicaRun:
    stream = Stream(
        requests_per_second=found.max_requests_per_second,
        buckets=single_length(request.input_tokens, request.output_tokens),
        arrival_cv=request.burstiness,
    )
    return simulate_replica(engine, stream, requests=request.requests, seed=request.seed)


def _document(
    found: ReplicaCapacity, expected: _Expected, run: ReplicaRun | None, slo: Slo
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "feasible": True,
        "requestsPerSecond": found.max_requests_per_second,
        "limit": found.limit.value,
        "load": found.load,
        "batch": found.batch,
        "ttftSeconds": found.ttft_seconds,
        "tpotSeconds": found.tpot_seconds,
        "joulesPerRequest": found.energy_per_request_joules,
        "standardError": {
            "requestsPerSecond": found.rate_error * found.max_requests_per_second,
            "percentOfRequests": 100 * found.share_error,
        },
        "expectedError": {
            "stepTimes": expected.step_times,
            "requestsPerSecond": [expected.lowest, expected.highest],
        },
    }
    if run is not None:
        met = run.attainment(slo)
        document["simulation"] = {
            "requests": len(run.ttft_seconds),
            **{
                name: _percent(share)
                for name, share in (("ttft", met.ttft), ("tpot", met.tpot), ("both", met.both))
            },
            "busyShare": run.busy_share,
            "joulesPerRequest": run.energy_per_request_joules,
            "preemptions": run.preemptions,
        }
    return document


def _percent(share: Share) -> dict[str, float]:
    return {"percent": 100 * share.share, "halfWidth95": 100 * share.half_width}


def _show(
    request: CapacityRequest,
    found: ReplicaCapacity,
    expected: _Expected,
    run: ReplicaRun | None,
    slo: Slo,
    console: Console,
) -> None:
    table = Table(
        title=f"One replica of {request.model} on {request.tensor_parallel} × {request.gpu}",
        box=box.SIMPLE_HEAD,
        show_header=False,
    )
    rows = [
        ("highest rate", f"{found.max_requests_per_second:.3g} requests/s"),
        ("bounded by", _IN_WORDS[found.limit]),
        ("load", f"{found.load:.0%} of what all slots in use would serve"),
        ("mean batch", f"{found.batch:.1f}"),
        (
            f"TTFT at p{slo.percentile:g}",
            f"{found.ttft_seconds * 1000:.0f} ms of {slo.ttft_seconds * 1000:.0f} ms",
        ),
        (
            f"TPOT at p{slo.percentile:g}",
            f"{found.tpot_seconds * 1000:.1f} ms of {slo.tpot_seconds * 1000:.1f} ms",
        ),
        ("energy", f"{found.energy_per_request_joules:.3g} J per request above idle"),
        (
            "error of the search",
            f"± {found.rate_error:.1%} of the rate, ± {100 * found.share_error:.1f} points of requests (standard error)",
        ),
        (
            f"step times ± {expected.step_times:.0%}",
            f"{expected.lowest:.3g} to {expected.highest:.3g} requests/s: the error to expect of them (models.md)",
        ),
    ]
    if run is not None:
        met = run.attainment(slo)
        rows += [
            (f"simulated, {name}", f"{100 * share.share:.1f} ± {100 * share.half_width:.1f} % of requests")
            for name, share in (
                ("within the TTFT", met.ttft),
                ("within the TPOT", met.tpot),
                ("within both", met.both),
            )
        ]
        rows.append(("preemptions", f"{run.preemptions}"))
    for row in rows:
        table.add_row(*row)
    console.print(table)
