"""Tokens that rotate: read again from where they came, by a clock that doesn't jump."""

import asyncio
import json

import pytest
from kubernetes.aio.config import incluster_config

from ecoserve_extender.credentials import load_credentials


@pytest.fixture(params=["in-cluster", "token", "tokenFile"])
def rotating(request, tmp_path, monkeypatch):
    """What to load, and a way to put another token in place."""
    token, kubeconfig = tmp_path / "token", tmp_path / "kubeconfig"
    if request.param == "in-cluster":
        authority = tmp_path / "ca.crt"
        authority.write_text("an authority")
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        return None, token.write_text

    def write(value):
        token.write_text(value)
        user = {"token": value} if request.param == "token" else {"tokenFile": str(token)}
        found = {
            "clusters": [{"name": "c", "cluster": {"server": "http://localhost"}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        kubeconfig.write_text(json.dumps(found if value else {}))

    return kubeconfig, write


def test_a_token_is_read_again_every_minute_and_kept_while_it_cant_be(rotating):
    path, write = rotating
    now = 0.0

    async def scenario():
        nonlocal now
        write("first")
        configuration = await load_credentials(path, lambda: now)

        async def sent():
            settings = await configuration.auth_settings()
            return settings["BearerToken"]["value"].split()[1]

        assert await sent() == "first"
        write("second")
        now = 59.0
        assert await sent() == "first"
        now = 61.0
        assert await sent() == "second"
        write("")
        now = 122.0
        assert await sent() == "second"
        write("third")
        now = 183.0
        assert await sent() == "third"

    asyncio.run(scenario())
