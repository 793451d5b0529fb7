"""Write the table of docs/accelerators.md anew: LLaMA of 1B, 3B and 7B on T4 and RTX 6000 Ada, as the command has it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ecoserve.carbon import AverageIntensity
from ecoserve.catalog import load_catalog
from ecoserve.cli.accelerators_command import STUDY_MODELS
from ecoserve.cli.accelerators_view import winner
from ecoserve.comparison.accelerators import Contest, Line, Terms, Work, compare_accelerators

PAGE = Path(__file__).parents[2] / "docs" / "accelerators.md"
BEGIN, END = "<!-- table: make accelerators-table -->\n", "<!-- end of table -->\n"
GRIDS = tuple(AverageIntensity(grams_per_kwh=value) for value in (17.0, 261.0, 501.0))
GPUS = ("t4", "rtx6000ada")
BATCHES = (1, 4, 16, 64)
MILLIGRAMS_PER_GRAM = 1000.0


def contests() -> Sequence[Contest]:
    """Compare the study's models and cards."""
    works = [
        Work(model=model, precision="fp16", input_tokens=256, output_tokens=256, batch=batch)
        for model in STUDY_MODELS
        for batch in BATCHES
    ]
    return compare_accelerators(works, GPUS, Terms(), load_catalog())


def rows(found: Sequence[Contest]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    grids = [f"{grid.grams_per_kwh:g}" for grid in GRIDS]
    header = [
        "model", "batch", "GPU", "tokens/s", "W", "embodied", *(f"op. {grid}" for grid in grids),
        *(f"greener at {grid}" for grid in grids),
    ]  # fmt: skip
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for contest in found:
        lines = {line.gpu: line for line in contest.lines}
        for gpu in contest.gpus:
            cells = figures(lines[gpu]) if gpu in lines else ["does not fit", *[""] * (2 + len(GRIDS))]
            best = [winner(contest, grid) if gpu == contest.gpus[0] else "" for grid in GRIDS]
            name = contest.work.model.rpartition("/")[2]
            yield f"| {' | '.join([name, f'{contest.work.batch:g}', gpu, *cells, *best])} |"


def figures(line: Line) -> list[str]:
    """Return a card's cells; grams as mg."""
    found = line.prediction.prediction
    grams = [line.embodied_grams, *(line.operational_grams(grid) for grid in GRIDS)]
    return [
        f"{found.output_tokens_per_second:.4g}",
        f"{found.power_watts:.0f}",
        *(f"{MILLIGRAMS_PER_GRAM * value:.3g}" for value in grams),
    ]


def main() -> None:
    """Put the table in its place in the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    table = "".join(f"{row}\n" for row in rows(contests()))
    PAGE.write_text(f"{before}{BEGIN}{table}{END}{after}", encoding="utf-8")
    print(f"wrote the table of {PAGE.name}")


if __name__ == "__main__":
    main()
