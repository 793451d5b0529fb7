"""Files that can't be read, or that hold something else: one sentence that names the file, exit status 2."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecoserve.cli.app import run

Capture = pytest.CaptureFixture[str]
Refused = Callable[[list[str]], str]

FILES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "No such file"),
    "binary": (bytes(range(256)), "not UTF-8"),
    "nested without end": (b"[" * 200_000, "deep"),
    "objects nested without end": (b'{"a":' * 200_000, "deep"),
    "a key twice in JSON": (b'{"kind": "PlanningInstance", "kind": "x"}', "'kind' stands twice"),
    "a key twice in YAML": (b"kind: PlanningInstance\nspec: {}\nkind: x\n", "'kind' stands twice"),
    "broken JSON": (b'{"kind": "PlanningInstance",', "valid JSON or YAML"),
    "broken YAML": (b"kind: [a\nspec: }", "line 2"),
    "a date that is none": (b"kind: 2020-13-45", "valid JSON or YAML"),
    "a number without end": (b'{"kind": ' + b"9" * 5000 + b"}", "valid JSON or YAML"),
    "a tag that runs code": (b"!!python/object/apply:os.system [ls]", "valid JSON or YAML"),
}


@pytest.mark.parametrize("command", ["solve", "plan -f", "pareto -f", "refresh -f"])
@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_read(case: str, command: str, tmp_path: Path, refused: Refused) -> None:
    content, words = FILES[case]
    file = tmp_path / "input.yaml"
    if content is not None:
        file.write_bytes(content)
    sentence = refused([*command.split(), str(file)])
    assert str(file) in sentence
    assert words in sentence or content is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "nothing in it"),
        ("---\n---\n", "nothing in it"),
        ("a: 1\n---\nb: 2\n", "2 documents"),
        ("[]", "a mapping"),
        ("just words", "a mapping"),
        ("{}", "spec"),
        ('{"spec": []}', "spec"),
        ('{"kind": "LLMServing", "spec": {}}', "kind"),
    ],
)
def test_a_file_that_holds_no_instance(content: str, words: str, tmp_path: Path, refused: Refused) -> None:
    file = tmp_path / "input.yaml"
    file.write_text(content)
    assert words in refused(["solve", str(file)])


def test_a_folder_is_no_instance(tmp_path: Path, refused: Refused) -> None:
    assert "directory" in refused(["solve", str(tmp_path)])


def test_an_empty_folder_holds_no_serving(tmp_path: Path, refused: Refused) -> None:
    for command in ("plan", "pareto"):
        assert "LLMServing" in refused([command, "-f", str(tmp_path)])
    assert "fleet file" in refused(["refresh", "-f", str(tmp_path)])


def test_a_byte_order_mark_is_no_mistake(instance: Any, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "instance.json"
    file.write_text(json.dumps(instance), encoding="utf-8-sig")
    assert run(["solve", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "optimal"


def test_yaml_and_json_are_read_alike(instance: Any, tmp_path: Path, capsys: Capture) -> None:
    results = []
    for name, text in (("a.json", json.dumps(instance)), ("a.yaml", yaml.safe_dump(instance))):
        (tmp_path / name).write_text(text)
        assert run(["solve", str(tmp_path / name)]) == 0
        results.append({**json.loads(capsys.readouterr().out), "solveSeconds": 0})
    assert results[0] == results[1]
