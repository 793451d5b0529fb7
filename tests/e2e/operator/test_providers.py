"""Grid intensity from providers: followed, held when they fall silent, and told so; keys read by the chart's rights."""

import base64
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.devcluster

TOKEN = "an-em-token-of-this-test"


class Providers:
    """A server that answers as Prometheus (`grams`) and as Electricity Maps; it can be stopped and started again."""

    def __init__(self) -> None:
        self.grams = 40.0
        self.tokens: set[str] = set()
        self.port = 0
        self.start()

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(
                    outer.answer(urlsplit(self.path).path, self.headers.get("auth-token"))
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str, token: str | None) -> dict[str, Any]:
        hour = time.time() // 3600 * 3600
        written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(hour))
        if path.startswith("/carbon-intensity/"):
            self.tokens.add(token or "")
            value = {"carbonIntensity": 333, "datetime": written}
            name = path.rsplit("/", 1)[-1]
            return {"zone": "DE", **value} if name == "latest" else {"zone": "DE", name: [value]}
        kind = "matrix" if path.endswith("query_range") else "vector"
        sample = (
            {"values": [[hour, str(self.grams)]]}
            if kind == "matrix"
            else {"value": [time.time(), str(self.grams)]}
        )
        return {"status": "success", "data": {"resultType": kind, "result": [{"metric": {}, **sample}]}}


@pytest.fixture
def providers() -> Iterator[Providers]:
    server = Providers()
    yield server
    server.stop()


def grid(name: str, **intensity: Any) -> dict[str, Any]:
    return {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "GridZone",
        "metadata": {"name": name},
        "spec": {"intensity": intensity},
    }


def test_a_provider_is_followed_and_held_when_it_falls_silent(
    world: Any, providers: Providers, operator: Any
) -> None:
    def status(zone: str = "west") -> Any:
        return world.get("gridzone", zone).get("status", {})

    def fresh(zone: str = "west") -> Any:
        return next(iter(status(zone).get("conditions", [])), {})

    def reads(reason: str, grams: float, zone: str = "west") -> bool:
        return fresh(zone).get("reason") == reason and status(zone)["gramsPerKilowattHour"] == grams

    prometheus = {"url": providers.url, "query": "grid_intensity", "intervalSeconds": 1}
    world.apply(grid("west", prometheus=prometheus))
    world.eventually(lambda: reads("Provider", 40))
    world.serve("chat")
    world.eventually(world.has_condition("chat", "Ready", "True"))
    assert set(world.replicas_by_zone("chat")) == {"west"}

    providers.grams = 900.0
    world.eventually(lambda: reads("Provider", 900))
    world.eventually(
        lambda: world.replicas_by_zone("chat").get("east") and not world.replicas_by_zone("chat").get("west")
    )
    world.eventually(world.has_condition("chat", "Ready", "True"))
    before = {item["metadata"]["name"]: item["metadata"]["generation"] for item in world.get("deployments")}

    providers.stop()
    world.eventually(lambda: reads("HeldAtLastValue", 900))
    assert "no answer (ConnectError)" in fresh()["message"]
    assert fresh()["status"] == "False"
    assert before == {i["metadata"]["name"]: i["metadata"]["generation"] for i in world.get("deployments")}
    assert operator.running, operator.tail()

    providers.start()
    world.eventually(lambda: reads("Provider", 900), seconds=60)
    assert fresh()["status"] == "True"

    world.apply(grid("east", electricityMaps={"zone": "DE"}))
    world.eventually(lambda: fresh("east").get("reason") in ("HeldAtLastValue", "Fallback"))
    world.eventually(lambda: "ecoserve-grid-keys does not exist" in fresh("east")["message"])
    data = {"electricity-maps.token": TOKEN, "electricity-maps.url": providers.url}
    world.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "ecoserve-grid-keys", "namespace": "ecoserve-system"},
            "data": {name: base64.b64encode(value.encode()).decode() for name, value in data.items()},
        }
    )
    world.eventually(lambda: reads("Provider", 333, "east"), seconds=60)
    assert providers.tokens == {TOKEN}
    assert TOKEN not in json.dumps(world.get("gridzone", "east")) + operator.tail()


@pytest.mark.parametrize(
    ("intensity", "told"),
    [
        ({"wattTime": {"region": "CAISO_NORTH"}}, "set signal: marginal"),
        ({"ukCarbonIntensity": {}, "gramsPerKilowattHour": 3}, "give exactly one of"),
        ({"prometheus": {"url": "http://user:pw@host", "query": "q"}}, "url"),
    ],
)
def test_the_api_server_refuses_what_a_provider_cannot_tell(world: Any, intensity: Any, told: str) -> None:
    with pytest.raises(Exception, match=told):
        world.apply(grid("west", **intensity))
