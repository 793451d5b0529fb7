"""Whole conversations with providers, over a real connection, and how the operator reads and follows them."""

import asyncio
import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiolimiter import AsyncLimiter

from ecoserve.api.manifests import load_manifests
from ecoserve.carbon import Accounting, Signal
from ecoserve.errors import InvalidInputError
from ecoserve_operator.signals.intensity import Freshness, read_answer
from ecoserve_operator.signals.providers.build import Providers, question_of
from ecoserve_operator.signals.providers.carbon_aware_sdk import CarbonAwareSdkClient
from ecoserve_operator.signals.providers.electricity_maps import ElectricityMapsClient
from ecoserve_operator.signals.providers.port import (
    Answer,
    KeyProblemError,
    Point,
)
from ecoserve_operator.signals.providers.prometheus import PrometheusClient
from ecoserve_operator.signals.providers.uk_carbon_intensity import UkCarbonIntensityClient
from ecoserve_operator.signals.providers.watttime import WattTimeAccount, WattTimeClient
from ecoserve_operator.watch.records import zone_record

NOW = datetime(2026, 3, 6, 19, 20, tzinfo=UTC)
WHOLE = datetime(2026, 3, 6, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)


def written(hours: float) -> str:
    return (WHOLE + hours * HOUR).isoformat()


def test_electricity_maps_joins_history_now_and_forecast(site: Any, made_up_keys: Any) -> None:
    def values(hours: range) -> list[dict[str, Any]]:
        return [{"carbonIntensity": 300 + hour, "datetime": written(hour)} for hour in hours]

    site.replies |= {
        "/carbon-intensity/latest": {"zone": "DE", "carbonIntensity": 301.5, "datetime": written(0)},
        "/carbon-intensity/history": {"zone": "DE", "history": values(range(-24, 0))},
        "/carbon-intensity/forecast": {"zone": "DE", "forecast": values(range(1, 25))},
    }
    answer = asyncio.run(electricity_maps(site, made_up_keys, Accounting.UNSTATED))
    assert answer.latest == Point(WHOLE, 301.5)
    assert answer.series is not None
    assert (len(answer.series.times), answer.series.at(NOW)) == (49, 301.5)
    assert answer.accounting is Accounting.LIFE_CYCLE
    assert {request.query["emissionFactorType"] for request in site.asked} == {"lifecycle"}
    assert {request.headers["auth-token"] for request in site.asked} == {"tok"}


@pytest.mark.parametrize("status", [401, 403, 404])
def test_electricity_maps_without_a_forecast_in_its_plan_goes_by_history(
    site: Any, made_up_keys: Any, text_reply: Callable[..., Any], status: int
) -> None:
    history = [{"carbonIntensity": 1.0, "datetime": written(hour)} for hour in range(-24, 0)]
    site.replies |= {
        "/carbon-intensity/latest": {"zone": "DE", "carbonIntensity": 2, "datetime": written(0)},
        "/carbon-intensity/history": {"zone": "DE", "history": history},
        "/carbon-intensity/forecast": text_reply(status=status),
    }
    answer = asyncio.run(electricity_maps(site, made_up_keys, Accounting.DIRECT))
    assert answer.series is not None
    assert answer.series.times[-1] == WHOLE
    assert answer.accounting is Accounting.DIRECT


async def electricity_maps(site: Any, made_up_keys: Any, accounting: Accounting) -> Answer:
    async with site.served() as fetcher:
        keys = made_up_keys({"a.token": "tok", "a.url": site.url})
        client = ElectricityMapsClient(
            zone="DE",
            account="a",
            accounting=accounting,
            keys=keys,
            fetcher=fetcher,
            limiter=AsyncLimiter(10, 60),
        )
        return await client.ask(NOW)


class WattTime:
    """A WattTime whose tokens count up; `refused` are those it no longer takes."""

    def __init__(self, units: str = "lbs_co2_per_mwh") -> None:
        self.logins = 0
        self.refused: set[str] = set()
        self.units = units

    async def login(self, request: web.Request) -> web.Response:
        expected = "Basic " + base64.b64encode(b"me:pass").decode()
        if request.headers.get("Authorization") != expected:
            return web.Response(status=401)
        self.logins += 1
        return web.json_response({"token": f"t{self.logins}"})

    async def forecast(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token != f"t{self.logins}" or token in self.refused:
            return web.Response(status=401)
        data = [{"point_time": written(n / 12), "value": 1000.0} for n in range(24)]
        meta = {"region": "CAISO_NORTH", "signal_type": "co2_moer", "units": self.units}
        return web.json_response({"data": data, "meta": meta})


async def watt_time(site: Any, keys: Any, server: WattTime, between: Callable[[], None]) -> Answer:
    site.replies |= {"/login": server.login, "/v3/forecast": server.forecast}
    async with site.served() as fetcher:
        keys.values["w.url"] = site.url
        account = WattTimeAccount(name="w", keys=keys, fetcher=fetcher)
        client = WattTimeClient(region="CAISO_NORTH", account=account)
        await client.ask(NOW)
        between()
        return await client.ask(NOW)


def test_watt_time_logs_in_once_and_gives_marginal_grams(site: Any, made_up_keys: Any) -> None:
    server = WattTime()
    keys = made_up_keys({"w.username": "me", "w.password": "pass"})
    answer = asyncio.run(watt_time(site, keys, server, lambda: None))
    assert server.logins == 1
    assert answer.series is not None
    assert answer.series.at(NOW) == 453.592
    assert (answer.series.signal, answer.accounting) == (Signal.MARGINAL, Accounting.DIRECT)
    assert all("signal-index" not in request.path for request in site.asked)


def test_watt_time_replaces_a_token_that_is_refused_once(site: Any, made_up_keys: Any) -> None:
    server = WattTime()
    keys = made_up_keys({"w.username": "me", "w.password": "pass"})
    asyncio.run(watt_time(site, keys, server, lambda: server.refused.add("t1")))
    assert server.logins == 2
    with pytest.raises(KeyProblemError):
        asyncio.run(watt_time(site, keys, server, lambda: server.refused.update({"t3", "t4", "t5"})))


def test_watt_time_regions_of_one_account_share_a_login_and_a_plan_that_lacks_one_makes_none(
    site: Any, made_up_keys: Any, text_reply: Callable[..., Any]
) -> None:
    server = WattTime()

    async def play() -> None:
        async with site.served() as fetcher:
            keys = made_up_keys({"w.username": "me", "w.password": "pass", "w.url": site.url})
            account = WattTimeAccount(name="w", keys=keys, fetcher=fetcher)
            client = WattTimeClient(region="CAISO_NORTH", account=account)
            await asyncio.gather(*(client.ask(NOW) for _ in range(5)))
            site.replies["/v3/forecast"] = text_reply(status=403)
            with pytest.raises(KeyProblemError, match="403"):
                await client.ask(NOW)

    site.replies |= {"/login": server.login, "/v3/forecast": server.forecast}
    asyncio.run(play())
    assert server.logins == 1


def test_watt_time_with_a_wrong_password_says_so_and_no_more(site: Any, made_up_keys: Any) -> None:
    keys = made_up_keys({"w.username": "me", "w.password": "hunter2"})
    with pytest.raises(KeyProblemError, match="401") as raised:
        asyncio.run(watt_time(site, keys, WattTime(), lambda: None))
    assert "hunter2" not in str(raised.value)


def test_great_britain_is_asked_from_its_half_hour_on(site: Any) -> None:
    def item(slot: int) -> dict[str, Any]:
        times = [f"{WHOLE + HOUR / 2 * n:%Y-%m-%dT%H:%MZ}" for n in (slot, slot + 1)]
        return {"from": times[0], "to": times[1], "intensity": {"forecast": 200 + slot, "actual": None}}

    site.replies["/intensity/2026-03-06T19:00Z/fw48h"] = {"data": [item(slot) for slot in range(-1, 96)]}

    async def play() -> Answer:
        async with site.served() as fetcher:
            return await UkCarbonIntensityClient(url=site.url, region_id=None, fetcher=fetcher).ask(NOW)

    reading = read_answer(asyncio.run(play()), "", NOW)
    assert reading.grams_per_kwh == 200
    assert (reading.freshness, reading.accounting) == (Freshness.PROVIDER, Accounting.DIRECT)
    assert (reading.observed_at, reading.next_step) == (WHOLE, WHOLE + HOUR / 2)


@pytest.mark.parametrize("forecasts", [True, False])
def test_the_sdk_gives_what_its_data_source_has(
    site: Any, text_reply: Callable[..., Any], forecasts: bool
) -> None:
    data = [{"location": "eastus", "timestamp": written(hour), "value": 90.0} for hour in range(9)]
    site.replies["/emissions/bylocation"] = [
        {"location": "eastus", "time": written(-hour), "rating": 70 + hour, "duration": "01:00:00"}
        for hour in range(24)
    ]
    site.replies["/emissions/forecasts/current"] = (
        [{"location": "eastus", "forecastData": data, "optimalDataPoint": []}]
        if forecasts
        else text_reply(status=501)
    )

    async def play() -> Answer:
        async with site.served() as fetcher:
            client = CarbonAwareSdkClient(
                url=f"{site.url}/",
                location="eastus",
                signal=Signal.MARGINAL,
                accounting=Accounting.UNSTATED,
                fetcher=fetcher,
            )
            return await client.ask(NOW)

    answer = asyncio.run(play())
    assert answer.latest == Point(WHOLE, 70.0)
    assert answer.series is not None
    assert (answer.series.signal, answer.series.at(NOW)) == (Signal.MARGINAL, 90.0 if forecasts else 70.0)
    assert site.asked[0].query["toTime"] == "2026-03-06T19:20:00Z"


def test_prometheus_gives_now_and_the_last_day_by_hours(site: Any) -> None:
    def result(kind: str, **sample: Any) -> dict[str, Any]:
        return {"status": "success", "data": {"resultType": kind, "result": [{"metric": {}, **sample}]}}

    day = [[WHOLE.timestamp() - 3600 * hour, "50"] for hour in range(24, -1, -1)]
    site.replies |= {
        "/api/v1/query": result("vector", value=[NOW.timestamp(), "77.5"]),
        "/api/v1/query_range": result("matrix", values=day),
    }

    async def play() -> Answer:
        async with site.served() as fetcher:
            client = PrometheusClient(
                url=site.url,
                query="grid",
                interval_seconds=60,
                signal=Signal.AVERAGE,
                accounting=Accounting.DIRECT,
                fetcher=fetcher,
            )
            return await client.ask(NOW)

    answer = asyncio.run(play())
    assert answer.latest is not None
    assert answer.latest.grams_per_kwh == 77.5
    assert answer.series is not None
    assert len(answer.series.times) == 25
    assert read_answer(answer, "", NOW + timedelta(minutes=2)).grams_per_kwh == 77.5
    with pytest.raises(InvalidInputError, match="it broke"):
        read_answer(answer, "it broke", NOW + timedelta(minutes=3))


@pytest.mark.parametrize(
    ("intensity", "more", "told"),
    [
        ({"wattTime": {"region": "PJM_DC"}}, {}, "set signal: marginal"),
        ({"electricityMaps": {"zone": "DE"}}, {"signal": "marginal"}, "set signal: average"),
        ({"ukCarbonIntensity": {}}, {"signal": "marginal"}, "set signal: average"),
        ({"ukCarbonIntensity": {}}, {"accounting": "life-cycle"}, "count direct emissions"),
        ({"ukCarbonIntensity": {}, "gramsPerKilowattHour": 1}, {}, "exactly one"),
        ({}, {}, "exactly one"),
        ({"prometheus": {"url": "http://me:pw@p", "query": "q"}}, {}, "pattern"),
        ({"electricityMaps": {"zone": "DE", "account": "../x"}}, {}, "pattern"),
    ],
)
def test_a_zone_that_its_provider_cannot_fill_is_refused_in_one_sentence(
    intensity: dict[str, Any], more: dict[str, Any], told: str
) -> None:
    body = {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "GridZone",
        "metadata": {"name": "west", "uid": "z"},
        "spec": {"intensity": intensity, **more},
    }
    problem = zone_record(body).problem
    assert told in problem
    assert "\n" not in problem


def test_the_examples_are_of_each_provider_and_are_built() -> None:
    zones = load_manifests([Path(__file__).parents[4] / "examples" / "gridzones-providers.yaml"]).grid_zones
    providers = Providers(api=None, keys=None, client=None)  # type: ignore[arg-type]  # nothing is asked
    built = {type(providers.build(question)).__name__ for each in zones if (question := question_of(each))}
    assert built == {
        "ElectricityMapsClient",
        "WattTimeClient",
        "UkCarbonIntensityClient",
        "CarbonAwareSdkClient",
        "AzureConfigMapReader",
        "PrometheusClient",
    }
