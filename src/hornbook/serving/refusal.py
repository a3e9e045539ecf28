"""A request that is turned down: a status, and the object that clients look for the reason in.

{"error": {"message": "…", "type": "invalid_request_error", "param": "n", "code": null}}
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    429: "overloaded_error",
    503: "overloaded_error",
}
RETRY_AFTER = {429: "1", 503: "2"}
"""When to come again [seconds]."""


class Refusal(Exception):  # noqa: N818 - it is the answer, not an accident
    """What a request gets instead of text.

    Args:
        status: the HTTP status.
        message: what is wrong, and what to do.
        param: the part of the request that is at fault.
        code: a word for programs.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code

    def as_object(self) -> dict[str, Any]:
        """The body of the answer.

        >>> Refusal(404, "there is no such model", code="model_not_found").as_object()["error"]
        {'message': 'there is no such model', 'type': 'not_found_error', 'param': None, \
'code': 'model_not_found'}
        """
        kind = KINDS.get(self.status, "server_error")
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        """The answer."""
        headers = {}
        if self.status in RETRY_AFTER:
            headers["Retry-After"] = RETRY_AFTER[self.status]
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.as_object(), self.status, headers)
