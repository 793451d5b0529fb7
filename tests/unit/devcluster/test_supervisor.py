"""Nothing outlives its owner: real processes, killed for real."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ecoserve_devcluster.errors import DevclusterError
from ecoserve_devcluster.state import ProcessIdentity
from ecoserve_devcluster.supervision import Supervision

OWNER = """
import signal, sys, time
from pathlib import Path
from ecoserve_devcluster.supervision import Supervision
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background or under nohup
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # hands down that both are ignored
folder = Path(sys.argv[1])
supervision = Supervision(folder.parent / "log", removed_at_end=folder)
program = supervision.start("sleep", ["sh", "-c", "sleep 600 & sleep 600"], {}, folder / "out", 0.0)
if sys.argv[2:] == ["detach"]:
    supervision.detach()
print(supervision.pid, program, flush=True)
if not sys.argv[2:]:
    time.sleep(600)
"""


def eventually(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def supervision(tmp_path):
    owned = Supervision(tmp_path / "log")
    yield owned
    owned.close()


@pytest.fixture
def start_owner(tmp_path):
    """Start a process that owns a supervisor and a program; give it and the identities of the two."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    owners = []

    def start(*arguments):
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, folder, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        owners.append(owner)
        pids = [int(word) for word in owner.stdout.readline().split()]
        return owner, [ProcessIdentity.of(str(pid), pid) for pid in pids]

    yield start
    for owner in owners:
        owner.kill()
        owner.wait()
        owner.stdout.close()


def sleeps_in_group(leader):
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [pgid for pgid, stat in rows if int(pgid) == leader.pid and not stat.startswith("Z")]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_when_the_owner_goes_everything_goes(start_owner, tmp_path, number):
    owner, identities = start_owner()
    assert all(each.runs for each in identities)
    owner.send_signal(number)
    assert eventually(lambda: not any(each.runs for each in identities))
    assert eventually(lambda: not sleeps_in_group(identities[1]))  # the program's children too
    assert eventually(lambda: not (tmp_path / "cluster").exists())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next `up` or `down` clears this wreck")
def test_when_the_supervisor_is_killed_its_programs_go(start_owner):
    _, (supervisor, program) = start_owner()
    os.kill(supervisor.pid, signal.SIGKILL)
    assert eventually(lambda: not program.runs)


def test_what_is_detached_outlives_its_owner_until_the_supervisor_is_told_to_end(start_owner, tmp_path):
    owner, (supervisor, program) = start_owner("detach")
    assert owner.wait() == 0
    time.sleep(1.5)  # longer than the supervisor's look at its owner
    assert supervisor.runs
    assert program.runs
    os.kill(supervisor.pid, signal.SIGTERM)
    assert eventually(lambda: not supervisor.runs and not program.runs)
    assert not (tmp_path / "cluster").exists()


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace_period(supervision, tmp_path):
    out = tmp_path / "out"
    script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"
    pid = supervision.start("stubborn", ["sh", "-c", script], {}, out, 0.3)
    identity = ProcessIdentity.of("stubborn", pid)
    assert eventually(lambda: "ready" in out.read_text())
    supervision.stop("stubborn", 0.3)
    assert not identity.runs
    assert "asked" in out.read_text()


def test_environment_is_added_and_output_kept(supervision, tmp_path):
    out = tmp_path / "out"
    supervision.start("env", ["sh", "-c", "echo $ANSWER $HOME"], {"ANSWER": "42"}, out, 0.0)
    assert eventually(lambda: out.exists() and out.read_text() == f"42 {os.environ['HOME']}\n")


def test_a_program_that_does_not_exist_is_told_by_name(supervision, tmp_path):
    with pytest.raises(DevclusterError, match=r"absent.*No such file"):
        supervision.start("absent", ["/absent"], {}, tmp_path / "out", 0.0)


def test_stopping_what_does_not_run_is_nothing(supervision):
    supervision.stop("absent", 0.0)


def test_a_request_to_a_supervisor_that_is_gone_says_so(supervision, tmp_path):
    os.kill(supervision.pid, signal.SIGKILL)
    with pytest.raises(DevclusterError, match="supervisor is gone"):
        supervision.start("sleep", ["sleep", "600"], {}, tmp_path / "out", 0.0)
