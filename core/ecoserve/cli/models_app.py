"""The commands that show what the models say: what they take; the work is in `<name>_command`."""

from pathlib import Path
from typing import Annotated

import typer

from ecoserve.cli.console import table_console
from ecoserve.cli.options import Coefficients, Output, OutputFormat, split_names
from ecoserve.errors import InvalidInputError

models_app = typer.Typer(rich_markup_mode=None)


@models_app.command()
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


@models_app.command()
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


@models_app.command()
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


@models_app.command()
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
        models=tuple(name for text in model for name in split_names(text)) if model else STUDY_MODELS,
        gpus=split_names(gpus),
        intensities=split_names(intensity),
        batches=split_names(batches),
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


@models_app.command()
def catalog(
    kind: Annotated[str, typer.Argument(help="accelerators, cpus, instances or models.")],
    name: Annotated[str | None, typer.Argument(help="One of them: all its figures, and sources.")] = None,
    output: OutputFormat = Output.TABLE,
) -> int:
    """List the hardware and models that are known by name, and tell where a figure is from."""
    from ecoserve.cli.catalog_command import run_catalog

    return run_catalog(kind, name, as_json=output is Output.JSON, console=table_console())
