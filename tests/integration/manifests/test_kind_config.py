"""kind-config.yaml as kind and kubeadm read it: strictly, with the patches applied."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[3] / "kind-config.yaml"


@pytest.fixture
def check(binaries: Callable[[str], Path], tmp_path: Path) -> Callable[[str], str]:
    """Check a configuration; the error it is refused with, empty if it is taken."""

    def check(text: str) -> str:
        path = tmp_path / "kind-config.yaml"
        path.write_text(text)
        done = subprocess.run(
            [binaries("kind-config-check"), path], capture_output=True, text=True, check=False
        )
        return done.stderr if done.returncode else ""

    return check


def test_configuration_is_taken(check: Callable[[str], str]) -> None:
    assert check(CONFIG.read_text()) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("extraMounts:", "extraMount:"),
        ("v1beta4", "v1beta3"),
        ("kind: ClusterConfiguration", "kind: ClusterConfigurations"),
        ("pathType: Directory", "pathtype: Directory"),
        ("role: worker", "role: labourer"),
    ],
    ids=["misspelled", "old kubeadm", "patches nothing", "wrong case", "no role"],
)
def test_mistake_is_found(check: Callable[[str], str], old: str, new: str) -> None:
    """What the check above would not notice, it could not hold."""
    text = CONFIG.read_text()
    assert old in text
    assert check(text.replace(old, new)) != ""
