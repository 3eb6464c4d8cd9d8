"""The shell around every HTTP answer: limits, same-origin check, security headers, one shape for errors."""

from collections.abc import Awaitable, Callable, MutableMapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import structlog
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.gzip import GZipMiddleware

from cloud.errors import CloudError, NotFoundError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

BODY_LIMIT: Final = 1_048_576
_CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_MISTAKES_SHOWN: Final = 10
_CSP: Final = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
_NO_STORE: Final = (b"cache-control", b"no-store")
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
CROSS_SITE: Final = "cross_site"
SHELL_CODES: Final = MappingProxyType({
    "bad_request": (400, "The request cannot be read."),
    CROSS_SITE: (403, "A page of another site asks with a person's cookie."),
    "method_not_allowed": (405, "This address does not know this method."),
    "not_acceptable": (406, "There is no answer in the form that was asked for."),
    "too_large": (413, "The body has more than 1 MiB."),
    "unsupported_media_type": (415, "The body is not JSON."),
})  # fmt: skip
"""What is refused before any part of the cloud is asked: code to status and meaning."""
_NAMES: Final = {
    404: NotFoundError.code,
    **{status: code for code, (status, _) in SHELL_CODES.items() if code != CROSS_SITE},
}


class ErrorView(BaseModel):
    """What every refusal says."""

    code: str = Field(description="A fixed word for programs: not_found, conflict, invalid, …")
    message: str = Field(description="What is wrong, for people.")
    hint: str = Field(description="What to do about it; may be empty.")


ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": ErrorView, "description": "Refused: the code says why, the hint what to do."},
    "5XX": {"model": ErrorView, "description": "Not possible just now."},
}
"""What every router declares as `responses`."""


class Shell:
    """Wraps the whole application; plain ASGI, so that a stream costs nothing per message.

    Args:
        app: what is wrapped.
        origins: further origins whose pages may send commands.
        is_https: browsers come by https, so tell them to stay there.
    """

    def __init__(self, app: App, *, origins: tuple[str, ...] = (), is_https: bool = False) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._headers = [*_HEADERS, *([_HSTS] if is_https else [])]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        is_api = scope["path"].startswith("/api/")

        async def dress(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                extra = [pair for pair in self._headers if pair[0] not in given]
                if is_api and b"cache-control" not in given:
                    extra.append(_NO_STORE)
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            await refusal(scope, receive, dress)
            return
        await self._app(scope, _limited(receive), dress)

    def _refusal(self, method: str, headers: dict[bytes, bytes]) -> JSONResponse | None:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            return _too_large()
        if method in _CHANGING and not self._is_same_origin(headers):
            return error_answer(
                403, CROSS_SITE, "this request comes from another site", "open the console itself"
            )
        return None

    def _is_same_origin(self, headers: dict[bytes, bytes]) -> bool:
        """Refuse what another site's page sends with the person's cookie (OWASP: Fetch Metadata, then Origin)."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin in self._origins:
            return True
        site = headers.get(b"sec-fetch-site")
        if site is not None:
            return site in {b"same-origin", b"none"}
        if not origin:
            return True
        host = headers.get(b"host", b"").decode("latin-1")
        try:
            return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False


def _limited(receive: Receive) -> Receive:
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > BODY_LIMIT:
            raise HTTPException(413, f"more than {BODY_LIMIT} bytes")
        return message

    return counted


def _too_large() -> JSONResponse:
    return error_answer(413, "too_large", f"more than {BODY_LIMIT} bytes", "send less at once")


def error_answer(status: int, code: str, message: str, hint: str = "") -> JSONResponse:
    """Make a refusal in the one shape."""
    headers = {"connection": "close"} if status == 413 else None
    return JSONResponse({"code": code, "message": message, "hint": hint}, status, headers)


def handle_errors(app: FastAPI) -> None:
    """Give the application the one shape for everything that goes wrong."""
    app.add_exception_handler(CloudError, _on_cloud_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(AnyHTTPException, _on_http_error)
    app.add_exception_handler(OperationalError, _on_database_error)
    app.add_exception_handler(DataError, _on_unstorable)
    app.add_exception_handler(Exception, _on_bug)


def _on_cloud_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, CloudError):
        return _on_bug(request, error)
    if error.status >= 500:
        _log().error("request failed", path=request.url.path, error=str(error))
    return error_answer(error.status, error.code, str(error), error.hint)


def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        return _on_bug(request, error)
    found = [
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
    ]
    text = "; ".join(found[:_MISTAKES_SHOWN])
    return error_answer(422, "invalid", text[:2_000], "correct the named fields")


def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, AnyHTTPException):
        return _on_bug(request, error)
    code = _NAMES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")
    answer = error_answer(error.status_code, code, str(error.detail))
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


def _on_database_error(request: Request, error: Exception) -> JSONResponse:
    _log().error("database not usable", path=request.url.path, error=str(error).split("\n", 1)[0])
    return error_answer(503, "unavailable", "the database does not answer", "try again in a moment")


def _on_unstorable(_request: Request, _error: Exception) -> JSONResponse:
    """PostgreSQL takes no NUL in a text; whoever sends one has made a mistake, not we."""
    return error_answer(
        422, "invalid", "a text holds what no database takes", "remove NUL characters"
    )


def _on_bug(request: Request, error: Exception) -> JSONResponse:
    _log().error("request failed", path=request.url.path, exc_info=error)
    return error_answer(
        500, "internal", "something went wrong here", "try again; the log says what"
    )


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("web")
    return logger


def compressed(app: App, *, except_path: str) -> App:
    """Compress answers of 1 KiB and more, but not those of one path."""
    zipped = GZipMiddleware(app, minimum_size=1_024, compresslevel=5)

    async def choose(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        chosen = app if scope.get("path") == except_path else zipped
        await chosen(scope, receive, send)

    return choose


def to_json(value: object) -> bytes:
    """Encode plain values and dataclasses as JSON, quickly."""
    return msgspec.json.encode(value)
