"""Clusters side by side, from the command line and from Python, and what is left of a killed owner: nothing."""

import json
import secrets
import socket
import subprocess
import sys
import time

import pytest

from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve_devcluster import Cluster, DevclusterError, ports, state

pytestmark = pytest.mark.devcluster

OWNER = """
import sys, time
from ecoserve_devcluster import Cluster
cluster = Cluster.start(sys.argv[1])
cluster.start_scheduler("second", {})
print("ready", flush=True)
time.sleep(600)
"""


def devcluster_command(*arguments):
    command = [sys.executable, "-c", "from ecoserve_devcluster.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def eventually(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.fixture
def name():
    chosen = f"life-{secrets.token_hex(3)}"
    yield chosen
    with state.registry_lock():
        state.remove(chosen)


def test_the_command_line_starts_a_cluster_beside_another_and_ends_it(devcluster, name, tmp_path):
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("nodes: [{sku: m7i.48xlarge, count: 2, zone: z, name: beside}]")
    started = devcluster_command("up", "--name", name, "--fleet", str(fleet), "--output", "json")
    assert started.returncode == 0, started.stderr
    facts = json.loads(started.stdout)
    assert facts["nodes"] == ["beside-0", "beside-1"]

    listed = json.loads(devcluster_command("status", "--output", "json").stdout)
    assert {devcluster.name, name} <= {each["name"] for each in listed}
    with Cluster.attach(name) as attached:
        assert str(attached.kubeconfig) == facts["kubeconfig"]
        assert attached.kubectl("get", "nodes", "-o", "name").split() == ["node/beside-0", "node/beside-1"]
        assert "beside" not in devcluster.kubectl("get", "nodes", "-o", "name")
        scheduler = attached.start_scheduler("second", {})
        identities = attached.processes()
        assert {"second", "etcd"} <= {each.name for each in identities}
    assert not scheduler.running  # what the handle added ended with it
    assert Cluster.attach(name).kubectl("get", "--raw", "/readyz") == "ok"  # the cluster did not

    again = devcluster_command("up", "--name", name)
    assert again.returncode == 2
    assert "runs already" in again.stderr
    with pytest.raises(InvalidInputError, match="runs already"):
        Cluster.start(name)

    ended = devcluster_command("down", "--name", name)
    assert ended.returncode == 0, ended.stderr
    assert not any(each.runs for each in identities)
    with pytest.raises(UnknownNameError):
        Cluster.attach(name)
    assert devcluster.kubectl("get", "--raw", "/readyz") == "ok"


def test_when_the_owner_of_a_cluster_is_killed_nothing_is_left(binaries, name):
    binaries("kubectl")
    with subprocess.Popen([sys.executable, "-c", OWNER, name], stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout.readline() == "ready\n"
            found = state.require(name)
            identities = [found.supervisor, *found.processes]
            assert len(identities) == 7
            assert all(each.runs for each in identities)
        finally:
            owner.kill()
    assert eventually(lambda: not any(each.runs for each in identities))
    assert eventually(lambda: name not in state.names())


def test_a_component_that_does_not_come_up_is_told_with_its_last_lines_and_nothing_is_left(
    name, monkeypatch, binaries
):
    binaries("kubectl")
    monkeypatch.setattr("ecoserve_devcluster.components.SERVICE_RANGE", "not-a-range")
    with pytest.raises(DevclusterError, match=r"kube-apiserver ended[\s\S]*not a valid cidr"):
        Cluster.start(name)
    assert name not in state.names()


def test_a_port_that_a_stranger_takes_after_its_choice_is_replaced(name, monkeypatch, binaries):
    binaries("kubectl")
    reserve, tries = ports.reserve, []
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def unlucky_once(cluster, count):
            tries.append(cluster)
            chosen = reserve(cluster, count)
            return (stranger.getsockname()[1], *chosen[1:]) if len(tries) == 1 else chosen

        monkeypatch.setattr(ports, "reserve", unlucky_once)
        with Cluster.start(name) as cluster:
            assert cluster.kubectl("get", "--raw", "/readyz") == "ok"
    assert tries == [name, name]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("up", "--fleet", "absent.yaml"), "absent.yaml"),
        (("up", "--name", "Not A Name"), "cluster name"),
        (("down", "--name", "absent"), "absent"),
        (("binary", "kubectll"), "kubectl"),
        (("build", "kubectll"), "kubectl"),
    ],
)
def test_bad_input_ends_with_status_2_and_one_sentence_before_anything_starts(
    arguments, told, monkeypatch, tmp_path
):
    monkeypatch.setenv("ECOSERVE_STATE", str(tmp_path))  # where no other test's clusters come and go
    done = devcluster_command(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert state.names() == []
