"""Certificates that are replaced while the extender listens: real handshakes on loopback, by the loop it runs on."""

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import uvloop

from ecoserve.errors import InvalidInputError
from ecoserve_devcluster.pki import Authority, Pair
from ecoserve_extender.certificates import Certificates
from ecoserve_extender.settings import Tls


class Mounted:
    """The folder that a Secret is mounted as, and what the extender read of it."""

    _times = count(1)

    def __init__(self, folder: Path, serving: Pair, clients: Authority) -> None:
        folder.mkdir()
        self._folder = folder
        self.write(serving.certificate, serving.key, clients.certificate)
        tls = Tls(
            port=8443,
            certificate=folder / "tls.crt",
            key=folder / "tls.key",
            client_ca=folder / "ca.crt",
        )
        self.certificates = Certificates(tls)

    def write(self, certificate: Path, key: Path, client_ca: Path) -> None:
        """Replace all files; each time has a stamp of its own, however coarse the file system's clock is."""
        stamp = next(self._times)
        for source, name in ((certificate, "tls.crt"), (key, "tls.key"), (client_ca, "ca.crt")):
            shutil.copy(source, self._folder / name)
            os.utime(self._folder / name, (stamp, stamp))


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], Authority]:
    return lambda name: Authority(tmp_path / name, name)


async def answered(certificates: Certificates, trusts: Authority, caller: Pair, *, times: int = 1) -> bool:
    """Whether a caller gets an answer over TLS; `times` in a row as one client, which resumes sessions if it can."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"yes")
        writer.close()

    context = ssl.create_default_context(cafile=trusts.certificate)
    context.load_cert_chain(caller.certificate, caller.key)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificates.listening)
    address = server.sockets[0].getsockname()

    def call() -> bool:
        session = None
        for _ in range(times):
            with (
                socket.create_connection(address, timeout=10) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as secured,
            ):
                secured.sendall(b"?")
                if secured.recv(3) != b"yes" or secured.session_reused:
                    return False
                session = secured.session
        return True

    async with server:
        try:
            return await asyncio.to_thread(call)
        except (ssl.SSLError, ConnectionError):
            return False


def test_new_certificates_are_shown_and_new_authorities_trusted_in_place_of_the_old(
    tmp_path: Path, authority: Callable[[str], Authority]
) -> None:
    old, new = authority("old"), authority("new")
    old_caller, new_caller = old.client("caller", "scheduler"), new.client("caller", "scheduler")
    mounted = Mounted(tmp_path / "mounted", old.serving("extender"), old)

    async def play() -> None:
        assert await answered(mounted.certificates, old, old_caller, times=2)
        assert not await answered(mounted.certificates, old, new_caller)
        serving = new.serving("extender")
        mounted.write(serving.certificate, serving.key, new.certificate)
        assert await answered(mounted.certificates, old, old_caller), "nobody has looked yet"
        mounted.certificates.look()
        assert await answered(mounted.certificates, new, new_caller, times=2)
        assert not await answered(mounted.certificates, new, old_caller), "its authority is trusted no more"
        assert not await answered(mounted.certificates, old, new_caller), (
            "the old certificate is shown no more"
        )

    uvloop.run(play())


def test_files_that_do_not_belong_together_leave_the_old_ones_in_place(
    tmp_path: Path, authority: Callable[[str], Authority], caplog: pytest.LogCaptureFixture
) -> None:
    only = authority("only")
    first, second, caller = only.serving("first"), only.serving("second"), only.client("caller", "scheduler")
    mounted = Mounted(tmp_path / "mounted", first, only)
    mounted.write(second.certificate, first.key, only.certificate)
    mounted.certificates.look()
    assert "can't be used yet" in caplog.text
    assert uvloop.run(answered(mounted.certificates, only, caller))
    mounted.write(second.certificate, second.key, only.certificate)
    mounted.certificates.look()
    assert uvloop.run(answered(mounted.certificates, only, caller))


def test_files_that_cannot_be_used_at_the_start_are_told(
    tmp_path: Path, authority: Callable[[str], Authority]
) -> None:
    only = authority("only")
    first, second = only.serving("first"), only.serving("second")
    with pytest.raises(InvalidInputError, match="a certificate, its key and client authorities in PEM"):
        Mounted(tmp_path / "mounted", Pair(first.certificate, second.key), only)
