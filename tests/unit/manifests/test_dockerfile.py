"""The Dockerfile, read rather than built: no Docker engine is needed for what these hold."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]

Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def stages() -> list[list[Instruction]]:
    """The instructions of each stage; continued lines joined, comments dropped, arguments filled in."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    arguments = dict(line.removeprefix("ARG ").split("=", 1) for line in lines if line.startswith("ARG "))
    found: list[list[Instruction]] = []
    for line in lines:
        instruction, _, rest = line.partition(" ")
        if instruction == "ARG":
            continue
        if instruction == "FROM":
            rest = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], rest)
            found.append([])
        found[-1].append((instruction, " ".join(rest.split())))
    return found


def test_base_images_are_pinned_and_alike(stages: list[list[Instruction]]) -> None:
    images = {stage[0][1].split()[0] for stage in stages}
    assert len(images) == 1, "a virtual environment points at the Python of its base image"
    (image,) = images
    assert re.fullmatch(r"python:3\.1[1-9]-slim-\w+", image)


def test_final_stage_builds_nothing_and_runs_as_nobody(stages: list[list[Instruction]]) -> None:
    final = dict(stages[-1])
    assert "RUN" not in final
    assert final["USER"] == "65532:65532"
    assert final["COPY"].startswith("--from=build ")


def test_image_and_chart_agree(stages: list[list[Instruction]]) -> None:
    helpers = (ROOT / "helm/ecoserve/templates/_helpers.tpl").read_text()
    user, group = dict(stages[-1])["USER"].split(":")
    assert f"runAsUser: {user}" in helpers
    assert f"runAsGroup: {group}" in helpers


def test_locked_dependencies_only(stages: list[list[Instruction]]) -> None:
    syncs = [rest for name, rest in stages[0] if name == "RUN" and "uv sync" in rest]
    assert syncs
    assert all({"--frozen", "--no-dev"} <= set(sync.split()) for sync in syncs)


def test_everything_copied_exists_and_is_sent(stages: list[list[Instruction]]) -> None:
    sent = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {source for name, rest in stages[0] if name == "COPY" for source in rest.split()[:-1]}
    assert copied == sent
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_commands_of_the_chart_are_entry_points() -> None:
    scripts: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    install = yaml.safe_load_all((ROOT / "manifests/install.yaml").read_text())
    commands = {
        container["command"][0]
        for document in install
        if document and document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    assert commands - {"kube-scheduler"} <= set(scripts)


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((ROOT / "helm/ecoserve/Chart.yaml").read_text())
    assert project == chart["version"] == chart["appVersion"]
