"""The store servers that the tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tamis.transforms import storage
from tamis.transforms.storage import connection
from tests.stores.servers import SERVERS, Missing, Server


class Servers:
    """Servers by name, each started by the first test that uses it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._servers: dict[str, Server | str] = {}

    def __call__(self, name: str) -> Server:
        if name not in self._servers:
            try:
                self._servers[name] = self._stack.enter_context(SERVERS[name]())
            except Missing as missing:
                self._servers[name] = str(missing)
        server = self._servers[name]
        if isinstance(server, str):
            pytest.skip(server)
        return server


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture
def connect(monkeypatch):
    """Points this process's clients at a server."""

    def to(server: Server) -> str:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(storage.TIMEOUT, "2")
        monkeypatch.setattr(connection, "connected", {})
        return server.bucket

    return to


@pytest.fixture
def folder(request, connect, servers):
    """A folder for the test on the store of its parameter."""
    return f"{connect(servers(request.param))}/{request.node.name.replace('[', '-').strip(']')}"
