"""What zones share: the requests that an account may make, and the answer to what several of them ask alike."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiolimiter import AsyncLimiter

from ecoserve_operator.signals.providers import build
from ecoserve_operator.signals.providers.build import Providers, Question, question_of
from ecoserve_operator.signals.providers.http import new_client
from ecoserve_operator.signals.providers.port import StatusError
from ecoserve_operator.signals.providers.watttime import WattTimeAccount, WattTimeClient
from ecoserve_operator.watch.records import zone_record

NOW = datetime(2026, 3, 6, 19, 20, tzinfo=UTC)


def asks(intensity: dict[str, Any], **more: Any) -> Question:
    body = {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "GridZone",
        "metadata": {"name": "west", "uid": "z"},
        "spec": {"intensity": intensity, **more},
    }
    grid = zone_record(body).grid
    assert grid is not None
    question = question_of(grid)
    assert question is not None
    return question


async def latest(request: web.Request) -> web.Response:
    zone = request.query["zone"]
    return web.json_response({"zone": zone, "carbonIntensity": 1, "datetime": NOW.isoformat()})


def test_zones_of_one_account_share_its_quota_and_those_of_another_have_their_own(
    site: Any, made_up_keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A zone takes three requests of the four an hour; of the next one's the first is made, and the others wait."""
    monkeypatch.setattr(build, "_ELECTRICITY_MAPS_PER_HOUR", 4)
    site.replies["/carbon-intensity/latest"] = latest

    async def play() -> None:
        async with site.served(), new_client() as client, asyncio.timeout(60):
            told = {
                f"{account}.{name}": value
                for account in ("one", "other")
                for name, value in (("url", site.url), ("token", "t"))
            }
            providers = Providers(api=None, keys=made_up_keys(told), client=client)  # type: ignore[arg-type]  # no ConfigMap

            def asked(zone: str, account: str) -> asyncio.Task[Any]:
                question = asks({"electricityMaps": {"zone": zone, "account": account}})
                return asyncio.create_task(providers.build(question).ask(NOW))

            await asked("DE", "one")
            assert len(site.asked) == 3
            waits = asked("FR", "one")
            while len(site.asked) < 4:
                await asyncio.sleep(0.01)
            await asked("ES", "other")
            await asyncio.wait([waits], timeout=0.2)
            assert [request.query["zone"] for request in site.asked].count("FR") == 1
            assert not waits.done()
            waits.cancel()

    asyncio.run(play())


@pytest.mark.parametrize(("requests", "logins", "made"), [(3, 50, 3), (1500, 1, 3)])
def test_watttimes_requests_and_logins_are_counted(
    site: Any, made_up_keys: Any, requests: int, logins: int, made: int
) -> None:
    """A login and a forecast each: of a token that is refused the forecast is asked for again, with another login."""

    async def forecast(_: web.Request) -> web.Response:
        return web.Response(status=401 if len(site.asked) > 2 else 500)

    site.replies |= {"/login": {"token": "t"}, "/v3/forecast": forecast}

    async def play() -> None:
        async with site.served() as fetcher, asyncio.timeout(60):
            keys = made_up_keys({"w.username": "u", "w.password": "p", "w.url": site.url})
            account = WattTimeAccount(
                name="w",
                keys=keys,
                fetcher=fetcher,
                requests=AsyncLimiter(requests, 300),
                logins=AsyncLimiter(logins, 300),
            )
            client = WattTimeClient(region="CAISO_NORTH", account=account)
            with pytest.raises(StatusError):
                await client.ask(NOW)
            waits = asyncio.create_task(client.ask(NOW))
            while len(site.asked) < made:
                await asyncio.sleep(0.01)
            await asyncio.wait([waits], timeout=0.2)
            assert (len(site.asked), waits.done()) == (made, False)
            waits.cancel()

    asyncio.run(play())


def test_what_an_account_may_ask_of_watttime_is_within_its_quotas() -> None:
    account = WattTimeAccount(name="w", keys=None, fetcher=None)  # type: ignore[arg-type]  # nothing is asked
    for limiter, most in ((account.requests, 3000), (account.logins, 100)):
        assert limiter.time_period >= 300
        assert limiter.max_rate <= most


def test_what_several_zones_ask_alike_is_one_question() -> None:
    first = asks({"ukCarbonIntensity": {}}, zones=["a", "b"])
    assert {first, asks({"ukCarbonIntensity": {}}, pue=1.3)} == {first}
    assert first != asks({"ukCarbonIntensity": {"regionId": 3}})
    prometheus = {"prometheus": {"url": "http://p", "query": "q"}}
    assert asks(prometheus) != asks(prometheus, signal="marginal")
