"""`make kind-demo` where something is missing: one sentence, nothing started."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "examples" / "kind" / "demo.sh"


@pytest.mark.parametrize(
    ("present", "sentence"),
    [
        ({}, "docker is not on PATH; install it, or run `make demo`, which needs neither."),
        ({"docker": "exit 1"}, "kind is not on PATH; install it, or run `make demo`, which needs neither."),
        ({"docker": "exit 1", "kind": "exit 0"}, "Docker does not answer; start it and run this again."),
    ],
    ids=["no docker", "no kind", "no engine"],
)
def test_missing_tool_is_told_in_one_sentence(tmp_path: Path, present: dict[str, str], sentence: str) -> None:
    bash, dirname = shutil.which("bash"), shutil.which("dirname")
    assert bash is not None
    assert dirname is not None
    (tmp_path / "dirname").symlink_to(dirname)
    for name, body in present.items():
        (tmp_path / name).write_text(f"#!{bash}\n{body}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [bash, DEMO], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"kind-demo: {sentence}\n")


def test_script_is_executable() -> None:
    assert os.access(DEMO, os.X_OK)


def test_patched_scheduler_finds_an_extender_on_its_own_node() -> None:
    values = yaml.safe_load((DEMO.parent / "values.yaml").read_text())
    assert values["extender"] == {"controlPlane": {"create": True}}
    configuration = yaml.safe_load((DEMO.parent / "scheduler-config.yaml").read_text())
    assert {entry["urlPrefix"] for entry in configuration["extenders"]} == {"http://127.0.0.1:8888"}


def test_scheduler_is_given_the_mounted_file() -> None:
    """As a list, which kubeadm v1beta4 wants: an old-style map is dropped without a word when kind merges it."""
    config = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
    control_plane = config["nodes"][0]
    (mount,) = control_plane["extraMounts"]
    assert (ROOT / mount["hostPath"]).is_file()
    (patch,) = map(yaml.safe_load, control_plane["kubeadmConfigPatches"])
    scheduler = patch["scheduler"]
    assert scheduler["extraArgs"] == [{"name": "config", "value": mount["containerPath"]}]
    (volume,) = scheduler["extraVolumes"]
    assert mount["containerPath"].startswith(volume["hostPath"] + "/")
    assert volume["hostPath"] == volume["mountPath"]
