"""A server from its start to its last answer.

    serve ─► listening ─► SIGTERM or Ctrl-C ─► refuses what is new, finishes what it writes
                                            ─► at most ``farewell`` seconds later: the end

A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from hornbook.errors import ConfigError, HornbookError, Problem
from hornbook.listener import SILENT, Listener
from hornbook.runs.run import Run
from hornbook.serving.application import Application
from hornbook.serving.engine import Engine
from hornbook.serving.guard import HERE
from hornbook.serving.limits import Limits

LOOK_EVERY = 0.05
"""How often a server that is to end looks whether the last answer is out [seconds]."""
BACKLOG = 1024
"""Connections that may wait to be taken up."""
LAST_BYTES = 2.0
"""How long connections may take to close when all is written [seconds]."""


def serve(
    run: Run,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Limits | None = None,
    listener: Listener = SILENT,
) -> None:
    """Serve ``run`` until a signal ends it.

    Args:
        run: the run, its model on its device.
        host: the address to listen at; another one than this machine's own needs a token.
        port: the port; 0 takes a free one.
        token: what requests must know.
        limits: how much is taken on.
        listener: is told the address, and of failures.

    Raises:
        ConfigError: the address is open to others, and there is no token.
        HornbookError: the port cannot be had.
    """
    with serving(run, host=host, port=port, token=token, limits=limits, listener=listener) as made:
        server, place = made
        listener.notice(f"{run.name} answers at {place}/v1; Ctrl-C ends it.")
        server.run_until_told()


@contextlib.contextmanager
def serving(
    run: Run,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    limits: Limits | None = None,
    listener: Listener = SILENT,
) -> Iterator[tuple[Server, str]]:
    """A server that is ready to run, and its address; see ``serve``."""
    check_openness(host, token)
    bounds = limits or Limits()
    engine = Engine(run, bounds, listener)
    known = frozenset(HERE | {host}) if is_here(host) and token is None else None
    app = Application(run, engine, bounds).guarded(token=token, known_names=known)
    listening = _listen(host, port)
    engine.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        place = f"http://{shown}:{listening.getsockname()[1]}"
        yield Server(app, listening, engine, bounds, listener), place
    finally:
        engine.stop()
        listening.close()


class Server(uvicorn.Server):
    """uvicorn's server, but told to end it answers on until what it writes is finished.

    Args:
        app: what answers.
        listening: where it listens.
        engine: who writes.
        limits: how long it may take to end.
        listener: is told that it ends.
    """

    def __init__(
        self,
        app: Callable[..., object],
        listening: socket.socket,
        engine: Engine,
        limits: Limits,
        listener: Listener,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                ws="none",
                timeout_graceful_shutdown=max(1, round(LAST_BYTES)),
            )
        )
        self._listening, self._engine, self._limits = listening, engine, limits
        self._listener = listener
        self._told_to_end = threading.Event()

    def run_until_told(self) -> None:
        """Answer until a signal comes, or ``end`` is called from another thread."""
        asyncio.run(self._answer())

    def end(self) -> None:
        """Take nothing new, finish what is being written, and then end."""
        self._engine.close()
        self._told_to_end.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C and SIGTERM: the first asks, the second insists."""
        if self._told_to_end.is_set():
            self.should_exit = self.force_exit = True
            return
        # Not here: a signal comes at any moment, and also while the engine's lock is held.
        self._told_to_end.set()

    async def _answer(self) -> None:
        ending = asyncio.create_task(self._end_when_told())
        try:
            await self.serve(sockets=[self._listening])
        finally:
            ending.cancel()

    async def _end_when_told(self) -> None:
        while not self._told_to_end.is_set():
            await asyncio.sleep(LOOK_EVERY)
        self._engine.close()
        if self._engine.jobs:
            self._listener.notice(
                f"ending: {self._engine.jobs:,} requests have {self._limits.farewell:g} s left; "
                "Ctrl-C again does not wait for them."
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.farewell):
                while self._engine.jobs and not self.should_exit:
                    await asyncio.sleep(LOOK_EVERY)
        await asyncio.to_thread(self._engine.stop)  # tells those that are left
        self.should_exit = True


def check_openness(host: str, token: str | None) -> None:
    """Raise a ``ConfigError`` for an address that others can reach, without a token."""
    if token is not None and len(token) < 8:
        raise ConfigError([Problem("token", "is too short to be none that others guess; use 8")])
    if token is None and not is_here(host):
        message = (
            "others can reach this address, so requests must know a token: set HORNBOOK_TOKEN, or "
            "stay at 127.0.0.1."
        )
        raise ConfigError([Problem("host", message, host)])


def is_here(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> is_here("127.0.0.1"), is_here("localhost"), is_here("::1"), is_here("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    """A socket at an address; raises a ``HornbookError`` that says why there is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)  # who comes before the server runs waits, and is not refused
    except (OSError, OverflowError) as error:
        raise HornbookError(
            f"{host}:{port} cannot be listened at: {getattr(error, 'strerror', None) or error}. "
            "Choose another --port; 0 takes a free one."
        ) from None
    listening.setblocking(False)
    return listening
