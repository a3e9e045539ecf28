"""Who may ask, and how much of a request is read: what stands before every address.

A server on this machine alone still has visitors from the network: a page in the browser can send
requests to 127.0.0.1, and with a name of its own that suddenly points there (DNS rebinding) even
read the answers. So a server without a token answers only to the names of this machine, and to no
page from elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hornbook.serving.limits import Limits
from hornbook.serving.refusal import Refusal

HERE = {"127.0.0.1", "localhost", "::1"}
"""The names of this machine."""
WITHOUT_TOKEN = {"/health"}
"""What anybody may see who may ask at all."""
THROWN_AWAY = 32 << 20
"""What of a body that is too large is read and forgotten, so that its sender comes to read the
answer [bytes]."""


class Guard:
    """Lets through who may ask; an ASGI application around another one.

    Args:
        app: what stands behind.
        token: what a request must know; ``None``: nothing, and it must come from this machine.
        known_names: the host names that may be asked for; ``None`` means any.
    """

    def __init__(
        self, app: ASGIApp, *, token: str | None, known_names: frozenset[str] | None
    ) -> None:
        self._app, self._token, self._names = app, token, known_names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] == "http":
            try:
                self._look(Headers(scope=scope), scope["path"])
            except Refusal as refusal:
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _look(self, headers: Headers, path: str) -> None:
        if self._names is not None:
            if host_name(headers.get("host", "")) not in self._names:
                raise Refusal(403, "The Host of this request is no name of this machine.")
            origin = headers.get("origin")
            if origin is not None and (urlsplit(origin).hostname or "") not in self._names:
                raise Refusal(403, "Pages from elsewhere may not ask this server.")
        if self._token is None or path in WITHOUT_TOKEN:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        expected = self._token.encode("utf-8")
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), expected)
        if scheme.lower() != "bearer" or not same:
            raise Refusal(401, "This server wants its token, as Authorization: Bearer TOKEN.")


def host_name(host: str) -> str:
    """The name in a Host header, without the port.

    >>> host_name("localhost:8000"), host_name("[::1]:80"), host_name("a.example")
    ('localhost', '::1', 'a.example')
    """
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body of a request.

    Raises:
        Refusal: it is too large, which shows before it is read where its length is given, or takes
            too long.
    """
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limits.body:
        if "expect" not in request.headers:  # who asks first whether to send it, will not
            await _throw_away(request.receive, limits)
        raise _too_large(limits)
    content = bytearray()
    try:
        async with asyncio.timeout(limits.patience):
            async for part in request.stream():
                content += part
                if len(content) > limits.body:
                    await _throw_away(request.receive, limits)
                    raise _too_large(limits)
    except TimeoutError:
        raise Refusal(408, f"The request took longer than {limits.patience:g} s.") from None
    return bytes(content)


async def _throw_away(receive: Callable[[], Awaitable[object]], limits: Limits) -> None:
    """Read on without keeping anything, for a while: who is still sending hears no answer."""
    seen = 0
    try:
        async with asyncio.timeout(min(limits.patience, 5.0)):
            while seen < THROWN_AWAY:
                message = await receive()
                assert isinstance(message, dict), "a message of ASGI"
                seen += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, f"The body is larger than {limits.body:,} bytes.", code="request_too_large")
