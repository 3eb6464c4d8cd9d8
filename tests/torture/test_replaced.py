"""What dies at its worst moment: a broker replaced by an empty one, a worker between two commits, a streaming API."""

import http.client
import sqlite3
import threading
import time
from collections.abc import Callable

import pytest

from linli.up.broker import prepare
from linli.up.home import CLOUD_USER, secret
from tests.torture.compare import compare
from tests.torture.core import Core

pytestmark = pytest.mark.xdist_group("torture")


def test_a_broker_replaced_while_it_was_down_loses_nothing(core: Core) -> None:
    edge = core.add_edge()
    core.run_for(1.0)
    core.remove("broker")
    core.run_for(1.5)
    core.begin("broker", _another_broker(core))
    core.run_for(1.0)
    core.settle(edge)
    assert compare(core, edge).readings > 100


def _another_broker(core: Core) -> list[str]:
    word = secret(core.home.cloud_config.parent / "secrets" / CLOUD_USER)
    words = {CLOUD_USER: word, **core.words}
    folder = core.home.broker.with_name(f"broker-{time.monotonic_ns()}")
    return prepare(folder, "127.0.0.1", core.home.ports.broker, words).argv


def test_a_worker_that_dies_around_its_commits_loses_nothing(core: Core) -> None:
    """Once between the commit of the rules and that of the readings, once between that and the acknowledgement."""
    edge = core.add_edge(alarm_every=10)
    for fault in ("die_before=8", "die_after=8"):
        with core.odd_worker(fault):
            die_once(core)
    core.settle(edge)
    assert compare(core, edge).alarms > 2


def die_once(core: Core) -> None:
    """Wait until the worker's own fault has killed it."""
    worker = core.part("ingest")
    pid = worker.pid
    core.wait(lambda: worker.pid != pid, "the worker does not die")


@pytest.mark.torture
@pytest.mark.parametrize("fault", ["die_before=40", "die_after=40"])
def test_a_worker_that_dies_again_and_again_around_its_commits_loses_nothing(
    core: Core, fault: str, report: Callable[[str], None]
) -> None:
    edges = [core.add_edge(alarm_every=10), core.add_edge(alarm_every=10)]
    with core.odd_worker(fault):
        for _ in range(10):
            core.part("ingest").restarts = 0
            core.wait(lambda: core.part("ingest").pid, "the worker does not come back")
            die_once(core)
    core.settle(*edges)
    report(str(compare(core, *edges)))


class Screen:
    """Reads the event stream in a thread, and goes on after the last id whenever it breaks."""

    def __init__(self, core: Core) -> None:
        self.ids: list[str] = []
        self.resyncs = 0
        self.connects = 0
        self.is_done = threading.Event()
        self._core = core
        self.thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.is_done.is_set():
            try:
                self._read()
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)

    def _read(self) -> None:
        headers = {"Cookie": self._core.client.cookie}
        if self.ids:
            headers["Last-Event-ID"] = self.ids[-1]
        connection = http.client.HTTPConnection("127.0.0.1", self._core.home.ports.web, timeout=10)
        try:
            connection.request("GET", "/api/feed", headers=headers)
            answer = connection.getresponse()
            if answer.status != 200:
                time.sleep(0.1)
                return
            self.connects += 1
            ident = ""
            while (line := answer.readline()) and not self.is_done.is_set():
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name == "id":
                    ident = value
                elif name == "event":
                    self.resyncs += value == "resync"
                elif not name and ident:
                    self.ids.append(ident)
                    ident = ""
        finally:
            connection.close()


def test_a_screen_misses_nothing_when_the_api_is_killed(core: Core) -> None:
    edge = core.add_edge(alarm_every=5)
    screen = Screen(core)
    core.wait(lambda: screen.ids, "the stream is silent")
    core.kill("cloud")
    before = screen.connects
    core.wait(lambda: screen.connects > before, "the screen does not come back")
    core.settle(edge)
    head = _head(core)
    core.wait(lambda: int(screen.ids[-1].partition(".")[2]) >= head, "the stream lags")
    screen.is_done.set()
    screen.thread.join(20)
    seqs = [int(ident.partition(".")[2]) for ident in screen.ids]
    assert seqs == list(range(seqs[0], seqs[-1] + 1)), "a change was missed or came twice"
    assert not screen.resyncs


def _head(core: Core) -> int:
    sql = sqlite3.connect(core.home.cloud_config.parent / "app.db")
    head = sql.execute("select max(seq) from journal").fetchone()[0]
    sql.close()
    return int(head)
