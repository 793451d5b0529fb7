import os
import subprocess

import msgspec
import pytest

from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve_devcluster import state
from ecoserve_devcluster.paths import cluster_folder
from ecoserve_devcluster.state import ProcessIdentity

DEAD = ProcessIdentity("supervisor", 2**22 + 1, 1.0)  # above any process id that Linux gives out


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_state_survives_writing_and_reading():
    written = state.new("demo").with_ports((20_001, 20_002)).with_process(DEAD)
    state.write(written)
    assert state.read("demo") == written


def test_a_process_with_a_recycled_id_is_a_stranger(sleeper):
    identity = ProcessIdentity.of("sleep", sleeper.pid)
    assert identity.runs
    assert not msgspec.structs.replace(identity, started=identity.started - 1).runs


def test_a_process_that_ended_but_was_not_waited_for_does_not_run(sleeper):
    identity = ProcessIdentity.of("sleep", sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert not identity.runs


def test_a_restarted_process_replaces_its_old_entry():
    old, new = ProcessIdentity("kwok", 1, 1.0), ProcessIdentity("kwok", 2, 2.0)
    assert state.new("demo").with_process(old).with_process(new).processes == (new,)


def test_a_wreck_is_cleared_with_all_that_still_runs_of_it(sleeper):
    wreck = msgspec.structs.replace(state.new("wreck"), supervisor=DEAD)
    left_over = ProcessIdentity.of("etcd", sleeper.pid)
    state.write(wreck.with_process(left_over))
    state.write(state.new("healthy"))
    assert state.clear_wrecks() == ["wreck"]
    assert not left_over.runs
    assert state.names() == ["healthy"]


def test_a_folder_with_unreadable_state_is_a_wreck():
    cluster_folder("broken").mkdir()
    (cluster_folder("broken") / "state.json").write_text("{")
    assert state.clear_wrecks() == ["broken"]


def test_a_process_of_a_wreck_whose_id_belongs_to_a_stranger_is_left_alone(sleeper):
    stranger = msgspec.structs.replace(ProcessIdentity.of("etcd", sleeper.pid), started=1.0)
    state.write(msgspec.structs.replace(state.new("wreck"), supervisor=DEAD).with_process(stranger))
    assert state.clear_wrecks() == ["wreck"]
    assert sleeper.poll() is None


def test_an_unknown_cluster_is_named_with_those_that_run():
    state.write(state.new("demo"))
    with pytest.raises(UnknownNameError, match="demo"):
        state.require("demos")


@pytest.mark.parametrize("name", ["", "Demo", "a/b", "..", "-a", "a-", "a" * 41, "a b"])
def test_a_name_that_could_not_be_a_folder_is_refused(name):
    with pytest.raises(InvalidInputError, match="cluster name"):
        cluster_folder(name)
