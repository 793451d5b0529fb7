"""The commands that decide what runs where and when: what they take; the work is in `<name>_command`."""

from pathlib import Path
from typing import Annotated

import typer

from ecoserve.cli.console import table_console
from ecoserve.cli.options import (
    At,
    Coefficients,
    Disabled,
    Files,
    Gap,
    Intensities,
    Output,
    OutputFormat,
    TimeLimit,
    split_names,
)

planning_app = typer.Typer(rich_markup_mode=None)


@planning_app.command()
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
        disabled=split_names(disable),
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


@planning_app.command()
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
        disabled=split_names(disable),
        at=at,
        hours=hours,
        plot=plot,
    )
    return run_schedule(request, as_json=output is Output.JSON, console=table_console())


@planning_app.command()
def solve(
    instance: Annotated[Path, typer.Argument(help="A PlanningInstance, JSON or YAML.")],
    output: Annotated[Output, typer.Option(help="json or table.")] = Output.JSON,
) -> int:
    """Solve a planning instance and print the result."""
    from ecoserve.cli.solve_command import run_solve

    return run_solve(instance, as_json=output is Output.JSON, console=table_console())


@planning_app.command()
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
        disabled=split_names(disable),
        at=at,
        plans=plans,
        plot=plot,
        relative_gap=gap,
        time_limit_seconds=time_limit,
    )
    return run_pareto(request, as_json=output is Output.JSON, console=table_console())


@planning_app.command()
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
