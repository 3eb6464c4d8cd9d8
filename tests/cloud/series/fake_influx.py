"""An InfluxDB 2 in software: its write and query endpoints with its errors, as far as readings need them."""

import csv
import gzip
import io
import json
import re
import threading
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LINE = re.compile(
    r"^(?P<head>(?:\\.|[^ \\])+) (?P<fields>\w+=-?[\d.e+-]+(?:,\w+=-?[\d.e+-]+)*) (?P<at>-?\d+)$"
)
Tags = tuple[str, str]


class FakeInflux:
    """A server on a free port.

    Attributes:
        points: fields by (device, metric) and Unix ms.
        faults: (status, headers) to answer the next writes with.
        poison: a text that makes a line unacceptable, like a field of another type would.
        writes: how many lines each accepted request had.
    """

    def __init__(self) -> None:
        self.points: dict[Tags, dict[int, dict[str, float]]] = {}
        self.faults: deque[tuple[int, dict[str, str]]] = deque()
        self.poison = ""
        self.writes: list[int] = []
        self.asked: list[str] = []
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._serve, name="fake-influx")
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.01)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def write(self, text: str) -> str | None:
        """Store good lines; give the message about the first bad one: a partial write, as the real one does."""
        mistake = None
        lines = text.split("\n")
        for line in lines:
            match = LINE.match(line)
            if match is None or (self.poison and self.poison in line):
                mistake = mistake or f"unable to parse '{line}': invalid field format"
                continue
            tags = dict(re.findall(r"(?<!\\),(\w+)=((?:\\.|[^,\\])+)", match["head"]))
            key = (_plain(tags["device"]), _plain(tags["metric"]))
            fields = {k: float(v) for k, v in (f.split("=") for f in match["fields"].split(","))}
            self.points.setdefault(key, {}).setdefault(int(match["at"]), {}).update(fields)
        if mistake is None:
            self.writes.append(len(lines))
        return mistake

    def query(self, flux: str) -> str:
        """Answer the two shapes of question that `codec` makes."""
        self.asked.append(flux)
        times = re.findall(r"time\(v: (-?\d+)\)", flux)
        start, end = (int(text) // 1_000_000 for text in times)
        # Flux knows one escape more than JSON.
        device = json.loads(_found(r'r\.device == ("(?:\\.|[^"])*")', flux).replace("\\$", "$"))
        metric = json.loads(_found(r'r\.metric == ("(?:\\.|[^"])*")', flux))
        held = self.points.get((device, metric), {})
        chosen = {at: fields for at, fields in sorted(held.items()) if start <= at < end}
        if "aggregateWindow" in flux:
            return _chart(chosen, start, int(_found(r"every: (\d+)ms", flux)), flux)
        limit = int(_found(r"limit\(n: (\d+)\)", flux))
        rows = [
            [_rfc3339(at), str(fields.get("v", "")), str(fields["q"])]
            for at, fields in list(chosen.items())[:limit]
        ]
        return _table("_result", ["_time", "v", "q"], rows)


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, f"{pattern} is not in {text}"
    return match[1]


def _rfc3339(at: int) -> str:
    text = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{at % 1000:03d}Z" if at % 1000 else f"{text}Z"


def _chart(chosen: dict[int, dict[str, float]], start: int, every: int, flux: str) -> str:
    windows: dict[int, list[float]] = {}
    for at, fields in chosen.items():
        if "v" in fields:
            # The first window is cut at the start of the range, as the real server does.
            windows.setdefault(max(at // every * every, start), []).append(fields["v"])
    made: dict[str, Any] = {"count": len, "min": min, "max": max, "mean": lambda v: sum(v) / len(v)}
    text = ""
    for name in re.findall(r'yield\(name: "(\w+)"\)', flux):
        rows = [[_rfc3339(at), str(made[name](some))] for at, some in sorted(windows.items())]
        text += _table(name, ["_time", "_value"], rows)
    return text


def _table(result: str, columns: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["result", "table", *columns])
    writer.writerows([result, "0", *row] for row in rows)
    return out.getvalue() + "\r\n"


class _Handler(BaseHTTPRequestHandler):
    fake: FakeInflux
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.headers.get("Authorization") != "Token right":
            self._answer(401, {}, {"code": "unauthorized", "message": "unauthorized access"})
        elif self.path.startswith("/api/v2/write"):
            self._write(body.decode())
        else:
            self._answer(200, {}, self.fake.query(json.loads(body)["query"]))

    def _write(self, text: str) -> None:
        assert "precision=ms" in self.path
        assert "bucket=linli" in self.path
        if self.fake.faults:
            status, headers = self.fake.faults.popleft()
            self._answer(status, headers, {"code": "unavailable", "message": "busy"})
            return
        mistake = self.fake.write(text)
        if mistake:
            self._answer(400, {}, {"code": "invalid", "message": mistake})
        else:
            self._answer(204, {}, "")

    def _answer(self, status: int, headers: dict[str, str], content: Any) -> None:
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""


def running() -> Iterator[FakeInflux]:
    """Serve for one test."""
    fake = FakeInflux()
    yield fake
    fake.close()
