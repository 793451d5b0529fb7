"""Alert rules and the dashboard's queries, by Prometheus' own tool."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
FILES = Path(__file__).parents[3] / "helm" / "ecoserve" / "files"

Promtool = Callable[..., str]


@pytest.fixture(scope="session")
def promtool(binaries: Callable[[str], Path]) -> Promtool:
    def promtool(*arguments: str | Path) -> str:
        done = subprocess.run(
            [binaries("promtool"), *arguments], capture_output=True, text=True, check=False, cwd=FILES
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return promtool


def test_the_alert_rules_are_what_prometheus_loads(promtool: Promtool) -> None:
    rules = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert f"{len(rules)} rules found" in promtool("check", "rules", "--lint-fatal", "alerts.yaml")


def test_each_alert_fires_when_it_should_and_not_otherwise(promtool: Promtool, tmp_path: Path) -> None:
    cases = (HERE / "alerts_test.yaml").read_text()
    (tmp_path / "alerts_test.yaml").write_text(cases)
    (tmp_path / "alerts.yaml").write_text((FILES / "alerts.yaml").read_text())
    promtool("test", "rules", tmp_path / "alerts_test.yaml")
    told = [each for test in yaml.safe_load(cases)["tests"] for each in test["alert_rule_test"]]
    alerts = {
        rule["alert"] for rule in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"][0]["rules"]
    }
    assert {each["alertname"] for each in told if each.get("exp_alerts")} == alerts


def test_every_query_of_the_dashboard_can_be_read(promtool: Promtool, tmp_path: Path) -> None:
    panels = json.loads((FILES / "dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    rules = [
        {
            "record": f"query:{number}",
            "expr": query.replace("$__rate_interval", "5m").replace("$__range", "1d"),
        }
        for number, query in enumerate(queries)
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(queries)} rules found" in promtool("check", "rules", path)
