"""Command line, settings, logging, scheduler configuration, RBAC and metrics."""

import json
import logging
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from ecoserve.errors import InvalidInputError
from ecoserve_extender.logs import JsonFormatter
from ecoserve_extender.main import app, main
from ecoserve_extender.rbac import build_extender_rules
from ecoserve_extender.scheduler_config import build_scheduler_configuration
from ecoserve_extender.settings import Settings, Thresholds


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """The command says what all of the process logs; the tests after these hear what theirs does."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "0"], "port: 0 is not accepted; a TCP port from 1 to 65535"),
        (["--port", "9000", "--observe-port", "9000"], "port: 9000 is not accepted; listeners need ports"),
        (
            ["--tls-key", "k.pem"],
            "tls: 'tls-key' is not accepted; --tls-certificate, --tls-key and --client-ca",
        ),
        (
            ["--tls-key=k.pem", "--tls-certificate=c.pem", "--client-ca=a.pem"],
            "tls_certificate: 'c.pem' is not accepted; a readable PEM file",
        ),
        (["--busy-share", "1.5"], "busy_share: 1.5 is not accepted; a share from 0 to 1"),
        (["--headroom-share", "nan"], "headroom_share: nan is not accepted; a share from 0 to 1"),
        (
            ["--kubeconfig", "/nonexistent"],
            "kubeconfig: '/nonexistent' is not accepted; a readable kubeconfig",
        ),
        ([], "kubeconfig: 'in-cluster' is not accepted; a readable kubeconfig, or a pod's ServiceAccount"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, sentence, monkeypatch, capsys):
    for name in ("KUBECONFIG", "ECOSERVE_EXTENDER_KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.argv", ["ecoserve-extender", "--log-level=error", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {sentence}")
    assert printed.count("\n") == 1


def test_help_names_every_flag():
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    for flag in (
        "--port",
        "--observe-port",
        "--tls-certificate",
        "--kubeconfig",
        "--busy-share",
        "--headroom-share",
        "--reservation-seconds",
    ):
        assert flag in text


def test_settings_refuse_what_makes_no_sense():
    with pytest.raises(InvalidInputError):
        Settings(reservation_seconds=0)
    with pytest.raises(InvalidInputError):
        Settings(decisions_per_second=float("nan"))
    assert Thresholds() == Thresholds(busy_share=0.5, headroom_share=0.2)


def test_a_log_line_is_one_json_object():
    record = logging.makeLogRecord(
        {"name": "n", "levelname": "INFO", "msg": "listed %d", "args": (3,), "count": 3}
    )
    line = json.loads(JsonFormatter().format(record))
    assert line["message"] == "listed 3"
    assert line["count"] == 3
    assert set(line) == {"time", "level", "logger", "message", "count"}


def test_the_scheduler_configuration_holds_what_the_contract_needs():
    built = build_scheduler_configuration(
        "http://127.0.0.1:8888", "/etc/kubeconfig", lease_namespace="system"
    )
    common = {
        "urlPrefix": "http://127.0.0.1:8888",
        "enableHTTPS": False,
        "httpTimeout": "1s",
        "nodeCacheCapable": True,
    }
    offline, general = built["extenders"]
    managed = [{"name": "ecoserve.dev/offline", "ignoredByScheduler": True}]
    assert offline == common | {"filterVerb": "filter", "ignorable": False, "managedResources": managed}
    assert general == common | {
        "prioritizeVerb": "prioritize",
        "weight": 20,
        "ignorable": True,
    }
    resources = [{"name": "nvidia.com/gpu", "weight": 1}, {"name": "amd.com/gpu", "weight": 1}]
    packing = {"type": "MostAllocated", "resources": resources}
    sampled = {"percentageOfNodesToScore": 100}
    fits = {"ignoredResourceGroups": ["ecoserve.dev"], "scoringStrategy": packing}
    plugins = [{"name": "NodeResourcesFit", "args": fits}]
    assert built["profiles"] == [{"schedulerName": "ecoserve", **sampled, "pluginConfig": plugins}]
    (others,) = build_scheduler_configuration(profile="default-scheduler")["profiles"]
    assert others == {"schedulerName": "default-scheduler", **sampled}, (
        "pods that are not ours are placed as ever"
    )
    assert built["clientConnection"]["kubeconfig"] == "/etc/kubeconfig"
    assert built["clientConnection"]["qps"] > 50
    assert built["leaderElection"]["leaderElect"] is True
    assert build_scheduler_configuration()["leaderElection"] == {"leaderElect": False}
    (waiting,) = build_scheduler_configuration(ignorable=False)["extenders"]
    assert (waiting["filterVerb"], waiting["ignorable"]) == ("filter", False)
    narrowed = build_scheduler_configuration(managed_resources=["ecoserve.dev/carbon-aware"])["extenders"][1]
    assert narrowed["managedResources"] == [{"name": "ecoserve.dev/carbon-aware", "ignoredByScheduler": True}]


def test_nothing_may_be_written_but_pod_status_and_evictions():
    writes = [
        (resource, verb)
        for rule in build_extender_rules()
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in ("get", "list", "watch")
    ]
    assert writes == [("pods/status", "patch"), ("pods/eviction", "create")]


def test_metrics_count_verdicts_and_reasons(world):
    world.node("gpu", gpus=1)
    world.filter(["gpu"], offline=True)
    text = world.metrics.exposition().decode()
    assert 'ecoserve_extender_verdicts_total{class="offline",verdict="refused"} 1.0' in text
    assert 'ecoserve_extender_rejections_total{reason="HAS_ACCELERATORS"} 1.0' in text
    served = world.get("/metrics").text
    assert 'ecoserve_extender_request_seconds_count{verb="filter"} 1.0' in served
