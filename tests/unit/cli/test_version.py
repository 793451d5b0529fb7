"""`--version`: each command says which one it is, whatever else is wrong around it."""

import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest

from ecoserve.cli.app import main as ecoserve
from ecoserve_extender.main import main as extender
from ecoserve_operator.kubectl import main as kubectl
from ecoserve_operator.main import main as operator


@pytest.mark.parametrize("command", [ecoserve, operator, extender, kubectl])
def test_the_version_is_told_and_nothing_else_done(
    command: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--version"])
    monkeypatch.setenv("ECOSERVE_CATALOG", "/nonexistent")
    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out.strip() == version("ecoserve-kubernetes")
