"""Fan-out of the event stream: 500 screens at 20 changes a second, against a bare ASGI application in the same run.

Both serve the same bytes at the same rhythm from one uvicorn process of their own; readers and the writer of the
journal share a third process.
"""

import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RATE = 20
PAYLOAD = "火" * 110
EPOCH = 1_790_000_000_000
Send = Callable[[dict[str, Any]], Awaitable[None]]


def run(quick: bool) -> list[dict[str, Any]]:  # noqa: FBT001 - the signature that all benchmarks have
    """Measure; `quick` takes 300 screens and 4 s instead of 500 and 12 s.

    Returns:
        One row a figure: name, value, unit, target, reference, passed.
    """
    clients, seconds = (300, 4.0) if quick else (500, 12.0)
    bare = asyncio.run(_measure("bare", clients, seconds))
    ours = asyncio.run(_measure("linli", clients, seconds))
    idle = asyncio.run(_measure("linli", 1, 3.0, changes=False))
    factor = ours["cpu_s"] / max(bare["cpu_s"], 1e-9)
    wanted = bare["sent"]
    return [
        {
            "name": f"event stream, {clients} screens × {RATE}/s: CPU against bare ASGI",
            "value": round(factor, 2), "unit": "×", "target": "≤ 2",
            "reference": f"bare ASGI {bare['cpu_pct']:.1f} % of a core", "passed": factor <= 2,
        },
        {
            "name": f"event stream, {clients} screens × {RATE}/s: CPU",
            "value": round(ours["cpu_pct"], 1), "unit": "% of a core", "target": "",
            "reference": f"bare ASGI {bare['cpu_pct']:.1f} %", "passed": True,
        },
        {
            "name": "event stream: changes delivered of those made",
            "value": round(100 * ours["received"] / (ours["sent"] * clients), 3), "unit": "%",
            "target": "100", "reference": f"bare ASGI {100 * bare['received'] / (wanted * clients):.1f} %",
            "passed": ours["received"] == ours["sent"] * clients,
        },
        {
            "name": "event stream, 1 screen, nothing happens: CPU of watch and beat",
            "value": round(idle["cpu_pct"], 2), "unit": "% of a core", "target": "≤ 5",
            "reference": "100 questions a second to SQLite", "passed": idle["cpu_pct"] <= 5,
        },
    ]  # fmt: skip


async def _measure(
    kind: str, clients: int, seconds: float, *, changes: bool = True
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.feed", kind, folder,
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        counts = [0] * clients
        try:
            port = int(await process.stdout.readline())
            change = _journal(Path(folder)) if kind == "linli" else None
            ready = asyncio.Semaphore(0)
            async with asyncio.TaskGroup() as tasks:
                readers = [
                    tasks.create_task(_read(port, index, counts, ready), name=f"screen[{index}]")
                    for index in range(clients)
                ]
                for _ in range(clients):
                    await ready.acquire()
                process.stdin.write(b"go\n")
                sent = await _make_changes(process.stdin, change, seconds, changes=changes)
                await _settle(counts, sent * clients)
                process.stdin.write(b"end\n")
                cpu_s, wall_s = map(float, (await process.stdout.readline()).split())
                for reader in readers:
                    reader.cancel()
        finally:
            process.kill()
            await process.wait()
    received = float(sum(counts))
    return {"sent": sent, "received": received, "cpu_s": cpu_s, "cpu_pct": 100 * cpu_s / wall_s}


async def _make_changes(
    stdin: asyncio.StreamWriter,
    change: Callable[[int], None] | None,
    seconds: float,
    *,
    changes: bool,
) -> int:
    """Keep the rhythm; the journal is written from here, as the ingest worker does in service."""
    start = time.monotonic()
    for seq in range(1, int(seconds * RATE) + 1):
        await asyncio.sleep(max(0.0, start + seq / RATE - time.monotonic()))
        if not changes:
            continue
        if change is None:
            stdin.write(b"change\n")
        else:
            await asyncio.to_thread(change, seq)
    return int(seconds * RATE) if changes else 0


async def _settle(counts: list[int], wanted: int) -> None:
    end = time.monotonic() + 20
    while sum(counts) < wanted and time.monotonic() < end:  # noqa: ASYNC110 - filled by 500 tasks
        await asyncio.sleep(0.02)


def _journal(folder: Path) -> Callable[[int], None]:
    from cloud.kit.sql import Database  # noqa: PLC0415
    from cloud.notify import journal  # noqa: PLC0415

    database = Database(f"sqlite:///{folder}/app.db")

    def change(seq: int) -> None:
        with database.write() as connection:
            body = {"text": PAYLOAD}
            journal.append(connection, at=EPOCH, kind="alert", subject=f"a{seq}", body=body)

    return change


async def _read(port: int, index: int, counts: list[int], ready: asyncio.Semaphore) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/feed HTTP/1.1\r\nhost: x\r\n\r\n")
    is_ready = False
    try:
        while data := await reader.read(65_536):
            if not is_ready and b"event: beat" in data:
                is_ready = True
                ready.release()
            counts[index] += data.count(b"event: alert")
    finally:
        writer.close()


def _bare(_folder: Path) -> tuple[Any, Callable[[int], None]]:
    """Make the control: every stream waits for the same event and sends the same bytes."""
    state: dict[str, Any] = {"changed": None, "loop": None}
    frames: list[bytes] = []

    async def app(scope: dict[str, Any], _receive: object, send: Send) -> None:
        if scope["type"] != "http":
            return
        state["changed"] = state["changed"] or asyncio.Event()
        state["loop"] = asyncio.get_running_loop()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        chunk, sent = b"event: beat\ndata: {}\n\n", len(frames)
        while True:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            while sent == len(frames):
                await state["changed"].wait()
            chunk, sent = b"".join(frames[sent:]), len(frames)

    def publish(frame: bytes) -> None:
        frames.append(frame)
        changed, state["changed"] = state["changed"], asyncio.Event()
        changed.set()

    def change(seq: int) -> None:
        body = f'{{"text":"{PAYLOAD}","seq":{seq}}}'
        frame = f"id: {EPOCH}.{seq}\nevent: alert\ndata: {body}\n\n".encode()
        state["loop"].call_soon_threadsafe(publish, frame)

    return app, change


def _linli(folder: Path) -> tuple[Any, Callable[[int], None]]:
    """Make the real thing: application, shell, permissions, journal in SQLite."""
    from cloud.app import build, create_app, wrap  # noqa: PLC0415 - only the served process needs it
    from cloud.kit import migrations  # noqa: PLC0415
    from cloud.kit.sql import Database  # noqa: PLC0415
    from cloud.notify import journal  # noqa: PLC0415
    from cloud.people.model import Principal, Role  # noqa: PLC0415
    from cloud.people.permission import current_principal  # noqa: PLC0415
    from cloud.settings import (  # noqa: PLC0415
        CloudSettings,
        DatabaseSettings,
        LocalSeries,
        WebSettings,
    )

    settings = CloudSettings(
        database=DatabaseSettings(url=f"sqlite:///{folder}/app.db"),
        series=LocalSeries(path=folder / "series"),
        web=WebSettings(stream_limit=2_000, stream_limit_user=2_000),
    )
    database = Database(settings.database.url)
    migrations.upgrade(database)
    with database.write() as connection:
        journal.start(connection, EPOCH)
    database.close()
    cloud = build(settings)
    app = create_app(cloud)
    who = Principal("u", "u", "u", Role.DUTY, credential="c")
    app.dependency_overrides[current_principal] = lambda: who
    cloud.people.still_valid = lambda principals: frozenset({"c"})  # type: ignore[method-assign]  # noqa: ARG005

    return wrap(app, settings), lambda _seq: None


def serve(kind: str, folder: Path) -> None:
    """Be the served process: print the port, take orders from stdin, at `end` print CPU and wall seconds."""
    from cloud.kit.web_server import WebServer, listen  # noqa: PLC0415

    app, change = _bare(folder) if kind == "bare" else _linli(folder)
    bound = listen("127.0.0.1", 0)

    def obey() -> None:
        sys.stdout.write(f"{bound.getsockname()[1]}\n")
        sys.stdout.flush()
        before, start, seq = 0.0, 0.0, 0
        for order in sys.stdin:
            if order == "go\n":
                before, start = time.process_time(), time.monotonic()
            elif order == "change\n":
                seq += 1
                change(seq)
            else:
                sys.stdout.write(f"{time.process_time() - before} {time.monotonic() - start}\n")
                sys.stdout.flush()

    threading.Thread(target=obey, name="orders", daemon=True).start()
    WebServer(app, bound, lambda: None).run()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
