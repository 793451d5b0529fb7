"""Entry point of `ecoserve`: commands, and how errors and exit statuses leave.

Exit status 0 for an answer, 2 for bad input (one line on standard error, nothing half-written), 3 where some
demand cannot be served.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ecoserve.cli.console import table_console
from ecoserve.cli.profile_app import profile_app
from ecoserve.errors import EcoserveError, InvalidInputError

_BAD_INPUT = 2
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""Typer's error for a wrong command line; it carries a Click of its own and doesn't export this base class."""


class Output(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"


Files = Annotated[
    list[Path], typer.Option("-f", "--file", help="Manifests and fleet files, or folders of them.")
]
Intensities = Annotated[
    list[str] | None,
    typer.Option(help="gCO2e/kWh for every zone, or ZONE=gCO2e/kWh; may be repeated."),
]
Disabled = Annotated[
    str, typer.Option(help="Levers to turn off: reduce, reuse, rightsize, recycle, by commas.")
]
Coefficients = Annotated[
    str, typer.Option(help="Set of embodied coefficients: ecoserve, ecoserve-2025, act, greensku, boavizta.")
]
At = Annotated[str | None, typer.Option(help="Time to plan for, ISO 8601; default: now.")]
Gap = Annotated[float, typer.Option(help="Relative gap at which a search may stop.")]
TimeLimit = Annotated[float, typer.Option(help="Seconds that one search may take.")]
OutputFormat = Annotated[Output, typer.Option(help="table or json.")]

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, no_args_is_help=True
)

app.add_typer(profile_app, name="profile")


@app.callback()
def ecoserve(
    context: typer.Context,
    catalog: Annotated[
        list[Path] | None,
        typer.Option(envvar="ECOSERVE_CATALOG", help="Catalogue files with hardware and models of your own."),
    ] = None,
) -> None:
    """Carbon-aware placement of LLM serving: plan, compare and explain, with or without a cluster."""
    if catalog:
        from ecoserve.catalog.loading import catalog_in_use
        from ecoserve.catalog.overlay import extended_catalog

        context.with_resource(catalog_in_use(extended_catalog(catalog)))


@app.command()
def plan(
    files: Files,
    objective: Annotated[
        str | None, typer.Option(help="carbon, energy, cost or performance; default: each serving's own.")
    ] = None,
    carbon_price: Annotated[
        float | None, typer.Option(help="$ per tonne of CO2e, added to the objective cost.")
    ] = None,
    intensity: Intensities = None,
    disable: Disabled = "",
    coefficients: Coefficients = "ecoserve",
    at: At = None,
    compare: Annotated[
        bool, typer.Option(help="Plan other objectives and designs, too, and compare.")
    ] = False,
    sweep: Annotated[
        str | None,
        typer.Option(help="Does the decision change? Plan by all coefficients, or by published lifetime."),
    ] = None,
    effects: Annotated[
        bool, typer.Option(help="Plan with each lever alone and without each, too: what it saves.")
    ] = False,
    gap: Gap = 0.005,
    time_limit: TimeLimit = 10.0,
    instance_out: Annotated[
        Path | None, typer.Option(help="Write the PlanningInstance behind the plan to this file.")
    ] = None,
    output: OutputFormat = Output.TABLE,
) -> int:
    """Plan the servings of manifests on the nodes of a fleet, without a cluster."""
    from ecoserve.cli.plan_command import PlanRequest, run_plan

    request = PlanRequest(
        files=tuple(files),
        objective=objective,
        carbon_price_per_tonne=carbon_price,
        intensities=tuple(intensity or ()),
        disabled=_names(disable),
        coefficients=coefficients,
        at=at,
        compare=compare,
        sweep=sweep,
        effects=effects,
        relative_gap=gap,
        time_limit_seconds=time_limit,
        instance_out=instance_out,
    )
    return run_plan(request, as_json=output is Output.JSON, console=table_console())


@app.command()
def schedule(
    files: Files,
    intensity: Annotated[
        list[str] | None,
        typer.Option(help="Forecast: gCO2e/kWh or FILE.csv for every zone, or ZONE=…; may be repeated."),
    ] = None,
    load: Annotated[
        Path | None,
        typer.Option(help="CSV of requests/s: timestamp, and a column NAME/online or NAME/offline each."),
    ] = None,
    hours: Annotated[int, typer.Option(help="Hours ahead.")] = 24,
    at: Annotated[str | None, typer.Option(help="When the hours begin, ISO 8601; default: now.")] = None,
    actual: Annotated[
        list[str] | None,
        typer.Option(
            help="What came: FILE.csv or ZONE=FILE.csv. Plays the hours with a forecast made anew each hour "
            "(from --intensity, else from the day before) and tells the regret against perfect foresight."
        ),
    ] = None,
    disable: Disabled = "",
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw intensity and offline rate to this .svg, .png or .pdf file, too."),
    ] = None,
    output: OutputFormat = Output.TABLE,
) -> int:
    """Schedule offline work over the hours ahead: what waits for a cleaner hour, and what that saves."""
    from ecoserve.cli.schedule_command import ScheduleRequest, run_schedule

    request = ScheduleRequest(
        files=tuple(files),
        intensities=tuple(intensity or ()),
        actual=tuple(actual or ()),
        load=load,
        disabled=_names(disable),
        at=at,
        hours=hours,
        plot=plot,
    )
    return run_schedule(request, as_json=output is Output.JSON, console=table_console())


@app.command()
def solve(
    instance: Annotated[Path, typer.Argument(help="A PlanningInstance, JSON or YAML.")],
    output: Annotated[Output, typer.Option(help="json or table.")] = Output.JSON,
) -> int:
    """Solve a planning instance and print the result."""
    from ecoserve.cli.solve_command import run_solve

    return run_solve(instance, as_json=output is Output.JSON, console=table_console())


@app.command()
def pareto(
    files: Files,
    intensity: Intensities = None,
    disable: Disabled = "",
    at: At = None,
    plans: Annotated[int, typer.Option(help="Plans to search for at most.")] = 12,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the front to this .svg, .png or .pdf file, too.")
    ] = None,
    gap: Gap = 0.005,
    time_limit: TimeLimit = 10.0,
    output: OutputFormat = Output.TABLE,
) -> int:
    """Draw the front between cost and carbon: the plans from which no price of carbon would lead away."""
    from ecoserve.cli.pareto_command import ParetoRequest, run_pareto

    request = ParetoRequest(
        files=tuple(files),
        intensities=tuple(intensity or ()),
        disabled=_names(disable),
        at=at,
        plans=plans,
        plot=plot,
        relative_gap=gap,
        time_limit_seconds=time_limit,
    )
    return run_pareto(request, as_json=output is Output.JSON, console=table_console())


@app.command()
def predict(
    model: Annotated[str | None, typer.Option(help="Model by its Hugging Face name.")] = None,
    gpu: Annotated[str | None, typer.Option(help="Accelerator by its id, such as h100-sxm.")] = None,
    cpu: Annotated[
        str | None, typer.Option(help="Processor by its id, such as xeon-6980p, instead of --gpu.")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(help="Devices in all (sockets with --cpu); default: --tensor-parallel.")
    ] = None,
    tensor_parallel: Annotated[
        int,
        typer.Option(
            help="Devices that share each layer. The rest are replicas; of a mixture of experts, groups that share the experts."
        ),
    ] = 1,
    precision: Annotated[str, typer.Option(help="bf16, fp16, fp8, int8 or int4.")] = "bf16",
    input_tokens: Annotated[
        float | None, typer.Option("--input", "--input-tokens", help="Tokens of a prompt.")
    ] = None,
    output_tokens: Annotated[float | None, typer.Option(help="Tokens of an answer.")] = None,
    batch: Annotated[float, typer.Option(help="Sequences in flight over all devices.")] = 1.0,
    points: Annotated[
        Path | None,
        typer.Option(
            help="CSV of points: model,gpu,gpus,tensor_parallel,precision,input_tokens,output_tokens,batch."
        ),
    ] = None,
    profile: Annotated[
        list[Path] | None,
        typer.Option(help="HardwareProfiles with own measurements, which take precedence; may be repeated."),
    ] = None,
    output: OutputFormat = Output.TABLE,
) -> int:
    """Predict latency, throughput and energy of a model at one point of operation, or at those of a CSV file.

    The batch is kept full: each finished request is replaced. Prefill is of one prompt on idle devices. TPOT is
    the time between tokens; throughput, power and energy are of all devices and count the prefills of new requests.
    Context grows from the input to input and output. The error is the median relative one of such predictions.
    """
    from ecoserve.cli.predict_command import predict_request, run_predict, run_predict_many

    console, as_json = table_console(), output is Output.JSON
    if points is not None:
        if any(option is not None for option in (model, gpu, cpu, gpus, input_tokens, output_tokens)):
            raise InvalidInputError(
                "--points", str(points), "alone: its rows name models, devices and lengths"
            )
        return run_predict_many(points, profile or (), as_json=as_json, console=console)
    point = predict_request(
        model, gpu, cpu, gpus, tensor_parallel, precision, input_tokens, output_tokens, batch
    )
    return run_predict(point, profile or (), as_json=as_json, console=console)


@app.command()
def capacity(
    model: Annotated[str, typer.Option(help="Model by its Hugging Face name.")],
    gpu: Annotated[str, typer.Option(help="Accelerator by its id, such as h100-sxm.")],
    input_tokens: Annotated[float, typer.Option("--input", "--input-tokens", help="Tokens of a prompt.")],
    output_tokens: Annotated[float, typer.Option(help="Tokens of an answer.")],
    tensor_parallel: Annotated[int, typer.Option(help="Devices that share each layer.")] = 1,
    precision: Annotated[str, typer.Option(help="bf16, fp16, fp8, int8 or int4.")] = "bf16",
    role: Annotated[str, typer.Option(help="both, prefill or decode.")] = "both",
    ttft: Annotated[str, typer.Option(help="Time to first token to hold, such as 500ms.")] = "500ms",
    tpot: Annotated[str, typer.Option(help="Time per output token to hold, such as 50ms.")] = "50ms",
    percentile: Annotated[float, typer.Option(help="Percent of requests that both times hold for.")] = 90.0,
    burstiness: Annotated[
        float, typer.Option(help="Coefficient of variation of the gaps between arrivals; 1 is Poisson.")
    ] = 1.0,
    simulate: Annotated[bool, typer.Option(help="Simulate the replica at that rate, too.")] = False,
    requests: Annotated[int, typer.Option(help="Requests to simulate.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 1,
    output: OutputFormat = Output.TABLE,
) -> int:
    """Find the highest request rate at which one replica keeps an objective, and what bounds it.

    A request keeps it when its TTFT and its mean time per output token are both within. Exit status 3 where no
    rate does. Intervals of the simulation are of 95 % confidence.
    """
    from ecoserve.cli.capacity_command import CapacityRequest, run_capacity

    request = CapacityRequest(
        model=model,
        gpu=gpu,
        tensor_parallel=tensor_parallel,
        precision=precision,
        role=role,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        ttft=ttft,
        tpot=tpot,
        percentile=percentile,
        burstiness=burstiness,
        requests=requests,
        seed=seed,
    )
    return run_capacity(request, simulate=simulate, as_json=output is Output.JSON, console=table_console())


@app.command()
def refresh(
    files: Annotated[
        list[Path],
        typer.Option("-f", "--file", help="Fleet files, Nodes and GridZones, or folders of them."),
    ],
    horizon: Annotated[int, typer.Option(help="Years to plan for.")] = 10,
    demand_growth: Annotated[float, typer.Option(help="More work each year; 0.1 is 10 %.")] = 0.0,
    grid_decarbonisation: Annotated[
        float, typer.Option(help="Fall of the grid's intensity each year (IEA: 3.6 % a year to 2027).")
    ] = 0.036,
    accelerator_gain: Annotated[
        float, typer.Option(help="More work per joule with each generation (A100 to B200: 45 %).")
    ] = 0.45,
    accelerator_power_growth: Annotated[
        float, typer.Option(help="More watts per device with each generation (A100 to B200: 58 %).")
    ] = 0.0,
    accelerator_embodied_growth: Annotated[
        float, typer.Option(help="More embodied carbon per device with each generation.")
    ] = 0.0,
    generation_years: Annotated[float, typer.Option(help="Years between generations.")] = 2.0,
    host_gain: Annotated[float, typer.Option(help="Less power of a host with each generation.")] = 0.0,
    host_years: Annotated[
        int, typer.Option(help="Years a host lasts at most where no HardwareProfile says so.")
    ] = 10,
    accelerator_years: Annotated[int, typer.Option(help="The same of an accelerator.")] = 6,
    utilization: Annotated[
        float, typer.Option(help="Share of full load that today's hardware runs at.")
    ] = 0.8,
    intensity: Annotated[
        list[str] | None,
        typer.Option(help="Today's gCO2e/kWh for every zone, or ZONE=gCO2e/kWh; may be repeated."),
    ] = None,
    coefficients: Coefficients = "ecoserve",
    at: Annotated[str | None, typer.Option(help="When the plan begins, ISO 8601; default: now.")] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the comparison and the purchases to this .svg, .png or .pdf file."),
    ] = None,
    output: OutputFormat = Output.TABLE,
) -> int:
    """Plan over years when to keep, buy and retire hosts and accelerators, each on their own clock."""
    from ecoserve.cli.refresh_command import RefreshRequest, run_refresh
    from ecoserve.refresh.assumptions import Assumptions

    request = RefreshRequest(
        files=tuple(files),
        intensities=tuple(intensity or ()),
        coefficients=coefficients,
        at=at,
        plot=plot,
        assumptions=Assumptions(
            horizon_years=horizon,
            demand_growth=demand_growth,
            grid_decarbonisation=grid_decarbonisation,
            accelerator_gain=accelerator_gain,
            accelerator_power_growth=accelerator_power_growth,
            accelerator_embodied_growth=accelerator_embodied_growth,
            generation_years=generation_years,
            host_gain=host_gain,
            host_years=host_years,
            accelerator_years=accelerator_years,
            utilization=utilization,
        ),
    )
    return run_refresh(request, as_json=output is Output.JSON, console=table_console())


@app.command()
def footprint(
    name: Annotated[
        str | None,
        typer.Argument(help="Instance type or accelerator of the catalogue.", metavar="[NODE|GPU]"),
    ] = None,
    gpu: Annotated[str | None, typer.Option(help="A node by its numbers: its accelerator.")] = None,
    gpus: Annotated[int | None, typer.Option(help="Cards; default: 1, or as many as NODE has.")] = None,
    dram_gb: Annotated[float | None, typer.Option(help="DRAM of the host in GB.")] = None,
    ssd_gb: Annotated[float | None, typer.Option(help="SSD of the host in GB.")] = None,
    cpu_watts: Annotated[float | None, typer.Option(help="Rated watts of all processors together.")] = None,
    cpu: Annotated[
        str | None, typer.Option(help="Processor of the catalogue, for sets that count it (act, boavizta).")
    ] = None,
    sockets: Annotated[
        float | None, typer.Option(help="How many of --cpu; default: 1, or as NODE has.")
    ] = None,
    coefficients: Coefficients = "ecoserve",
    over_sets: Annotated[
        bool, typer.Option("--range", help="Every total by all coefficient sets, too.")
    ] = False,
    intensity: Annotated[float, typer.Option(help="Grid intensity in gCO2e/kWh.")] = 261.0,
    utilization: Annotated[float, typer.Option(help="Share of full load, 0 to 1.")] = 0.8,
    lifetime_years: Annotated[float, typer.Option(help="Years that embodied carbon is spread over.")] = 4.0,
    host_lifetime_years: Annotated[
        float | None, typer.Option(help="The same of the host; default: --lifetime-years.")
    ] = None,
    accelerator_lifetime_years: Annotated[
        float | None, typer.Option(help="The same of accelerators; default: --lifetime-years.")
    ] = None,
    amortisation: Annotated[
        str | None,
        typer.Option(
            help="calendar (default); age: over the age where that is longer; use: over hours in use only."
        ),
    ] = None,
    age: Annotated[float, typer.Option(help="Years in service; makes it --amortisation age.")] = 0.0,
    host_age: Annotated[float | None, typer.Option(help="The same of the host; default: --age.")] = None,
    accelerator_age: Annotated[
        float | None, typer.Option(help="The same of accelerators; default: --age.")
    ] = None,
    power: Annotated[
        str,
        typer.Option(
            help="rated: watts × utilization; loaded-idle: from idle with a model; wall: and losses."
        ),
    ] = "rated",
    pue: Annotated[
        float, typer.Option(help="Power usage effectiveness; the EcoServe authors apply none.")
    ] = 1.0,
    output: OutputFormat = Output.TABLE,
) -> int:
    """Account for the carbon of a node or a card: made and run, by the catalogue or by its numbers."""
    from ecoserve.cli.footprint_command import FootprintRequest, run_footprint

    request = FootprintRequest(
        name=name,
        gpu=gpu,
        gpus=gpus,
        dram_gb=dram_gb,
        ssd_gb=ssd_gb,
        cpu_watts=cpu_watts,
        cpu=cpu,
        sockets=sockets,
        coefficients=coefficients,
        intensity=intensity,
        utilization=utilization,
        lifetime_years=lifetime_years,
        host_lifetime_years=host_lifetime_years,
        accelerator_lifetime_years=accelerator_lifetime_years,
        age_years=age,
        host_age_years=host_age,
        accelerator_age_years=accelerator_age,
        amortisation=amortisation,
        power=power,
        pue=pue,
        over_sets=over_sets,
    )
    return run_footprint(request, as_json=output is Output.JSON, console=table_console())


@app.command()
def accelerators(
    model: Annotated[
        list[str] | None,
        typer.Option(help="Models by their Hugging Face names, by commas; default: LLaMA of 1B, 3B and 7B."),
    ] = None,
    gpus: Annotated[str, typer.Option(help="Accelerators to compare, by commas.")] = "t4,rtx6000ada",
    intensity: Annotated[
        str, typer.Option(help="Average grid intensities in gCO2e/kWh, by commas.")
    ] = "17,261,501",
    batches: Annotated[str, typer.Option(help="Sequences in flight, by commas.")] = "1,2,4,8,16,32,64",
    input_tokens: Annotated[
        float, typer.Option("--input", "--input-tokens", help="Tokens of a prompt.")
    ] = 256,
    output_tokens: Annotated[float, typer.Option(help="Tokens of an answer.")] = 256,
    precision: Annotated[str, typer.Option(help="fp16, bf16, fp8, int8 or int4.")] = "fp16",
    cards: Annotated[int, typer.Option(help="Cards that hold the model together.")] = 1,
    coefficients: Coefficients = "ecoserve",
    over_sets: Annotated[
        bool, typer.Option("--range", help="Who is greener by each of the coefficient sets, too.")
    ] = False,
    lifetime_years: Annotated[float, typer.Option(help="Years that embodied carbon is spread over.")] = 4.0,
    utilization: Annotated[
        float, typer.Option(help="Share of its life a card is in use; its embodied carbon falls on that.")
    ] = 1.0,
    pue: Annotated[float, typer.Option(help="Power usage effectiveness.")] = 1.0,
    plot: Annotated[Path | None, typer.Option(help="Draw it to this .svg, .png or .pdf file, too.")] = None,
    output: OutputFormat = Output.TABLE,
) -> int:
    """Compare accelerators: operational and embodied grams per 1,000 tokens, by batch and grid."""
    from ecoserve.cli.accelerators_command import STUDY_MODELS, AcceleratorsRequest, run_accelerators

    request = AcceleratorsRequest(
        models=tuple(name for text in model for name in _names(text)) if model else STUDY_MODELS,
        gpus=_names(gpus),
        intensities=_names(intensity),
        batches=_names(batches),
        precision=precision,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cards=cards,
        coefficients=coefficients,
        lifetime_years=lifetime_years,
        utilization=utilization,
        pue=pue,
        over_sets=over_sets,
        plot=plot,
    )
    return run_accelerators(request, as_json=output is Output.JSON, console=table_console())


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        status = app(args=arguments, standalone_mode=False)
    except EcoserveError as error:
        return _fail(str(error))
    except _USAGE_ERROR as error:
        message = getattr(error, "format_message", error.__str__)()
        if message.startswith("Usage:"):  # no command was given: the help, line by line
            print(message, file=sys.stderr)
            return _BAD_INPUT
        return _fail(message)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:  # the reader has seen enough
        sys.stderr.close()
        return 0
    return status if isinstance(status, int) else 0


def main() -> None:
    """Run `ecoserve` and exit with its status."""
    sys.exit(run())


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _fail(sentence: str) -> int:
    print(f"error: {' '.join(sentence.split())}", file=sys.stderr)
    return _BAD_INPUT
