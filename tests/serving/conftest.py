"""A server in a thread of this process, and clients for it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest

import hornbook
from hornbook.serving.limits import Limits
from hornbook.serving.server import Server, serving


@dataclass(frozen=True)
class Served:
    """A server that runs, and where."""

    server: Server
    address: str
    name: str
    thread: threading.Thread

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def ask(
        self, body: Any = None, path: str = "/v1/completions", **headers: str
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, object and headers of an answer; ``body`` may be bytes as they are."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        connection.request(method, path, None if body is None else content, headers)
        answer = connection.getresponse()
        found = answer.status, json.loads(answer.read()), dict(answer.getheaders())
        connection.close()
        return found

    def begin(self, **body: Any) -> socket.socket:
        """Send a request, and read nothing of its answer."""
        content = json.dumps({"prompt": "The", "seed": 1, "stop_at_end": False, **body}).encode()
        sending = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}"
        sending.sendall(f"{head}\r\n\r\n".encode() + content)
        return sending

    def client(self, **more: Any) -> Any:
        """The client that people have already."""
        openai = pytest.importorskip("openai", reason="openai is in the extra dev")
        return openai.OpenAI(
            **{"base_url": f"{self.address}/v1", "api_key": "any", "max_retries": 0, **more}
        )


@contextmanager
def run_server(run: hornbook.Run, **more: Any) -> Iterator[Served]:
    with serving(run, **more) as (server, address):
        thread = threading.Thread(target=server.run_until_told)
        thread.start()
        try:
            yield Served(server, address, run.name, thread)
        finally:
            server.end()
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def serve(finished_run: hornbook.Run) -> Iterator[Callable[..., Any]]:
    """``with serve(rows=1) as served:`` runs a server with these limits."""

    @contextmanager
    def with_limits(token: str | None = None, **limits: Any) -> Iterator[Served]:
        with run_server(finished_run, limits=Limits(**limits), token=token) as served:
            yield served

    return with_limits  # type: ignore[return-value]


@pytest.fixture(scope="session")
def served(finished_run: hornbook.Run) -> Iterator[Served]:
    """A server with the usual limits, for tests that leave nothing behind."""
    with run_server(finished_run) as running:
        yield running


@pytest.fixture(scope="session")
def client(served: Served) -> Any:
    return served.client()
