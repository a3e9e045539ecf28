"""Which address does what.

GET  /health           whether it goes well, and how much there is to do
GET  /v1/models        the one model
POST /v1/completions   text, whole or as it comes
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hornbook.errors import HornbookError
from hornbook.runs.run import Run
from hornbook.serving.completion import Completion, event
from hornbook.serving.engine import Engine
from hornbook.serving.guard import Guard, read_body
from hornbook.serving.limits import Limits
from hornbook.serving.order import Order, read_order
from hornbook.serving.refusal import Refusal

Answer = TypeVar("Answer")

GONE = 499
"""The status of an answer that nobody waits for; nobody sees it."""


class Application:
    """What the addresses of one run do.

    Args:
        run: the run, its model on its device.
        engine: who writes; started by whoever made it.
        limits: how much is taken on.
    """

    def __init__(self, run: Run, engine: Engine, limits: Limits) -> None:
        self._run, self._engine, self._limits = run, engine, limits
        self._name = run.name

    def guarded(self, *, token: str | None, known_names: frozenset[str] | None) -> Starlette:
        """The whole, with a guard before it; see ``Guard``."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.models),
                Route("/v1/models/{name}", self.model),
                Route("/v1/completions", self.completions, methods=["POST"]),
            ],
            middleware=[Middleware(Guard, token=token, known_names=known_names)],
            exception_handlers={
                HTTPException: _http_refusal,
                Refusal: _refusal,
                Exception: _accident,
            },
        )

    async def health(self, _: Request) -> Response:
        """Whether the server takes requests."""
        written, waiting = self._engine.counts()
        state = "ending" if self._engine.closed else "ok"
        found = {"status": state, "model": self._name, "written": written, "waiting": waiting}
        return JSONResponse(found, 503 if self._engine.closed else 200)

    async def models(self, _: Request) -> Response:
        """The list of the one model."""
        return JSONResponse({"object": "list", "data": [self._described()]})

    async def model(self, request: Request) -> Response:
        """The model by its name."""
        name = request.path_params["name"]
        if name != self._name:
            raise Refusal(
                404,
                f"There is no model {name!r} here; there is {self._name!r}.",
                param="model",
                code="model_not_found",
            )
        return JSONResponse(self._described())

    async def completions(self, request: Request) -> Response:
        """Texts that go on from prompts."""
        content = await read_body(request, self._limits)
        if self._engine.closed:
            raise Refusal(503, "The server is about to end; it takes nothing new.")
        # Reading a long prompt takes its time, in which others shall be heard.
        order = await asyncio.to_thread(self._order, content)
        completion = Completion(order, self._engine, self._run, self._name)
        if order.stream:
            return await _streamed(completion, request)
        answer = await _unless_gone(completion.whole(), request)
        return Response(status_code=GONE) if answer is None else JSONResponse(answer)

    def _order(self, content: bytes) -> Order:
        order = read_order(content, self._run, self._name, self._limits)
        try:
            for prompt in order.prompts:
                self._engine.check(prompt.ids, order.config)
        except HornbookError as error:
            raise Refusal(400, str(error)) from None
        return order

    def _described(self) -> dict[str, Any]:
        return {
            "id": self._name,
            "object": "model",
            "created": int(self._run.folder.config_file.stat().st_mtime),
            "owned_by": "hornbook",
        }


class _Events(StreamingResponse):
    """A stream whose source is closed however it ends."""

    def __init__(self, parts: AsyncGenerator[dict[str, Any]], told: AsyncIterator[bytes]) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(told, media_type="text/event-stream", headers=headers)
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._parts.aclose()


async def _streamed(completion: Completion, request: Request) -> Response:
    """Begin a stream, once it is sure that there will be one."""
    parts = completion.parts()
    first = await _unless_gone(anext(parts), request)
    if first is None:
        await parts.aclose()
        return Response(status_code=GONE)

    async def all_parts() -> AsyncIterator[dict[str, Any]]:
        yield first
        async for part in parts:
            yield part

    async def told() -> AsyncIterator[bytes]:
        try:
            async for found in completion.events(all_parts()):
                yield found
        except Refusal as refusal:  # too late for a status
            yield event(refusal.as_object())

    return _Events(parts, told())


async def _unless_gone(answer: Awaitable[Answer], request: Request) -> Answer | None:
    """Wait for an answer, and give it up when nobody waits for it any more."""
    writing = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(_departure(request))
    try:
        await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return writing.result() if writing.done() else None
    finally:
        for task in (writing, leaving):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Refusal):
            await writing


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _http_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        message = f"There is nothing at {request.url.path}; there are /v1/completions, /v1/models "
        return Refusal(404, f"{message}and /health.").response()
    return Refusal(error.status_code, f"{error.detail}.").response()


async def _accident(_: Request, __: Exception) -> Response:
    return Refusal(500, "The server made a mistake; its own output says which.").response()
