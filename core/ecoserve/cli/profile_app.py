"""The commands `ecoserve profile …`: what they take; the work is in `profile_command`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ProfileOutput(StrEnum):
    """How a profile is printed: both are to be applied."""

    YAML = "yaml"
    JSON = "json"


Base = Annotated[
    str,
    typer.Option("--base", help="Instance type of the catalogue that was measured on, such as p5.48xlarge."),
]
Precision = Annotated[
    str | None, typer.Option(help="Precision of the weights; default: what the model is published in.")
]
TensorParallel = Annotated[
    int | None, typer.Option(help="Accelerators of the engine; default: 1 where the node has any.")
]
Vcpus = Annotated[
    int | None,
    typer.Option(help="vCPUs of an engine on the host; default: all, where the node has no accelerator."),
]
Match = Annotated[
    list[str] | None,
    typer.Option(help="Label KEY=VALUE of the nodes the profile is for; default: nodes of the type --base."),
]
Name = Annotated[str | None, typer.Option(help="Name of the HardwareProfile; default: from node and model.")]
OutputFormat = Annotated[ProfileOutput, typer.Option(help="yaml or json.")]

profile_app = typer.Typer(
    help="Own measurements as HardwareProfiles: kubectl apply, or -f of the other commands.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@profile_app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Results of vllm bench serve, GuideLLM or llama-batched-bench; all of one model."
        ),
    ],
    base: Base,
    model: Annotated[str | None, typer.Option(help="Hugging Face name; default: what the files say.")] = None,
    precision: Precision = None,
    tensor_parallel: TensorParallel = None,
    vcpus: Vcpus = None,
    match: Match = None,
    name: Name = None,
    output: OutputFormat = ProfileOutput.YAML,
) -> int:
    """Turn results of benchmark tools into a HardwareProfile."""
    from ecoserve.cli.profile_command import run_import, subject

    on = subject(model, base, precision, tensor_parallel, vcpus, match or (), name)
    return run_import(files, on, as_json=output is ProfileOutput.JSON)


@profile_app.command()
def suggest(
    files: Annotated[
        list[Path],
        typer.Option("-f", "--file", help="Nodes, as of kubectl get nodes -o yaml, and HardwareProfiles."),
    ],
    output: OutputFormat = ProfileOutput.YAML,
) -> int:
    """Print a HardwareProfile to start from for each kind of node that is not known."""
    from ecoserve.cli.profile_command import run_suggest

    return run_suggest(files, as_json=output is ProfileOutput.JSON)


@profile_app.command()
def measure(
    endpoint: Annotated[str, typer.Option(help="OpenAI-compatible endpoint, such as http://host:8000.")],
    model: Annotated[str, typer.Option(help="Hugging Face name of the model.")],
    base: Base,
    served_model: Annotated[
        str | None, typer.Option(help="The model's name at the endpoint; default: --model.")
    ] = None,
    precision: Precision = None,
    tensor_parallel: TensorParallel = None,
    vcpus: Vcpus = None,
    concurrency: Annotated[str, typer.Option(help="Requests in flight, by commas.")] = "1,4,16,64",
    input_tokens: Annotated[
        str, typer.Option("--input", "--input-tokens", help="Tokens of a prompt, by commas.")
    ] = "128,1024",
    output_tokens: Annotated[int, typer.Option(help="Tokens of an answer.")] = 128,
    hold_seconds: Annotated[
        float | None, typer.Option(help="Seconds to hold each load; default: 10, with --prometheus 60.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds of silence after which a request is given up.")
    ] = 60.0,
    api_key_env: Annotated[
        str, typer.Option(help="Environment variable with the endpoint's key.")
    ] = "ECOSERVE_API_KEY",
    prometheus: Annotated[
        str | None,
        typer.Option(
            help="Prometheus with DCGM's or RAPL's power; its token is taken from ECOSERVE_PROMETHEUS_TOKEN."
        ),
    ] = None,
    power_selector: Annotated[
        str, typer.Option(help='Labels of the power series in use, such as \'Hostname="node-1",gpu="0"\'.')
    ] = "",
    match: Match = None,
    name: Name = None,
    output: OutputFormat = ProfileOutput.YAML,
) -> int:
    """Measure an endpoint: TTFT, TPOT, throughput and power by concurrency and prompt length."""
    from ecoserve.cli.profile_command import MeasureRequest, run_measure, subject

    request = MeasureRequest(
        endpoint=endpoint,
        served_model=served_model,
        concurrency=concurrency,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        hold_seconds=hold_seconds,
        silence_seconds=timeout,
        api_key_env=api_key_env,
        prometheus=prometheus,
        power_selector=power_selector,
    )
    on = subject(model, base, precision, tensor_parallel, vcpus, match or (), name)
    return run_measure(request, on, as_json=output is ProfileOutput.JSON)
