import subprocess
import sys

TEST = """
import os
import subprocess

from msgspec.structs import replace

from ecoserve_devcluster import state
from ecoserve_devcluster.paths import cluster_folder

def test_that_fails():
    with subprocess.Popen(["sleep", "0"]) as gone:
        ended = state.ProcessIdentity.of("operator-a", gone.pid)
    state.write(state.new("mine").with_process(ended))
    starter = state.ProcessIdentity.of("starter", os.getppid())
    state.write(replace(state.new("others"), starter=starter))
    (cluster_folder("others") / "logs").mkdir()
    logs = cluster_folder("mine") / "logs"
    logs.mkdir()
    (logs / "operator-a.log").write_text("first\\n" + "\\n" * 20 + "the last word\\n")
    assert PASSES
"""


def run(folder, test):
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-p", "ecoserve_devcluster.pytest_plugin", "test_it.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_a_failure_keeps_the_logs_of_its_clusters_and_says_where(tmp_path):
    told = run(tmp_path, TEST.replace("PASSES", "False"))
    (kept,) = (tmp_path / ".pytest_cache" / "d" / "clusters-of-failures").iterdir()
    assert f"logs and objects: {kept}" in told
    assert [each.name for each in kept.iterdir()] == ["mine"]
    assert "first" in (kept / "mine" / "operator-a.log").read_text()
    assert "operator-a of mine has ended" in told
    assert "the last word" in told
    assert "first" not in told.partition("last lines of operator-a")[2]
    assert "FAILED test_it.py::test_that_fails - assert False" in told


def test_what_passes_keeps_nothing(tmp_path):
    assert "1 passed" in run(tmp_path, TEST.replace("PASSES", "True"))
    assert not (tmp_path / ".pytest_cache" / "d" / "clusters-of-failures").exists()
