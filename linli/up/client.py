"""A small client of the public API: what the health lines and the proof need, by the standard library alone."""

import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

from linli.up.home import LOOPBACK

ANSWER_LIMIT = 16_777_216


class ApiError(RuntimeError):
    """The API is not there or refuses: show its words."""


@dataclass(slots=True)
class ApiClient:
    """Speaks to the API on this machine; keeps the session cookie after `sign_in`."""

    port: int
    cookie: str = ""

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - parsed JSON
        """Make one request and give the parsed answer.

        Raises:
            ApiError: no connection, no JSON, or an answer of 400 and above.
        """
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=15)
        headers = {"Content-Type": "application/json", "Origin": f"http://{LOOPBACK}:{self.port}"}
        if self.cookie:
            headers["Cookie"] = self.cookie
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read(ANSWER_LIMIT)
            for given in answer.headers.get_all("Set-Cookie") or []:
                jar = SimpleCookie(given)
                self.cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())
            value = json.loads(text) if text else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiError(f"{method} {path}: {error}") from None
        finally:
            connection.close()
        if answer.status >= 400:
            raise ApiError(f"{method} {path}: {answer.status} {value}")
        return value

    def sign_in(self, username: str, password: str) -> None:
        """Open a session."""
        self.call("POST", "/api/session", {"username": username, "password": password})


class FeedListener:
    """Follows the event stream in a thread of its own and hands every event on; ends with the connection."""

    def __init__(self, client: ApiClient, on_event: Callable[[str, dict[str, Any]], None]) -> None:
        self._client = client
        self._on_event = on_event
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self.error = ""

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Close the stream."""
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.close()

    def _run(self) -> None:
        try:
            self._connection = http.client.HTTPConnection(LOOPBACK, self._client.port, timeout=30)
            self._connection.request("GET", "/api/feed", headers={"Cookie": self._client.cookie})
            answer = self._connection.getresponse()
            kind, data = "message", ""
            while line := answer.readline():
                text = line.decode().rstrip("\r\n")
                if text.startswith("event:"):
                    kind = text[6:].strip()
                elif text.startswith("data:"):
                    data += text[5:].strip()
                elif not text and data:
                    self._on_event(kind, json.loads(data))
                    kind, data = "message", ""
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.error = str(error)
