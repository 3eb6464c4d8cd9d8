"""The API as a process of its own, and a screen that reads its stream as a browser does."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cloud.kit import migrations
from cloud.kit.clock import SystemClock
from cloud.kit.password import Passwords
from cloud.kit.sql import Database
from cloud.notify import journal
from cloud.people.accounts import Accounts
from cloud.people.model import Role, SessionLimits
from cloud.people.service import PeopleService

PASSWORD = "a quiet river at night"
PATIENCE_S = 60.0


def wait_for(claim: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < end, what
        time.sleep(0.01)


class CloudProcess:
    """One folder with settings and database; the process can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "rules").mkdir(parents=True)
        (folder / "secrets").mkdir()
        (folder / "secrets" / "linli-cloud").write_text("x\n")
        (folder / "cloud.yaml").write_text("web: {port: 0}\nrules: rules\n")
        self.database = Database(f"sqlite:///{folder}/app.db")
        migrations.upgrade(self.database)
        with self.database.write() as connection:
            journal.start(connection, 1_790_000_000_000)
        passwords = Passwords(memory_kib=8, passes=1)
        clock = SystemClock()
        accounts = Accounts(self.database, clock=clock, passwords=passwords)
        for role in Role:
            accounts.add(username=role.value, name=role.value, role=role, password=PASSWORD)
        self._people = PeopleService(
            self.database, clock=clock, passwords=passwords, limits=SessionLimits()
        )
        self.process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self) -> None:
        command = [sys.executable, "-m", "cloud", "serve", "--config"]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, str(self.folder / "cloud.yaml")],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=Path(__file__).parents[3],
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "log").read_text()
        self.port = int(line.strip().rpartition(":")[2])
        wait_for(self.answers, "the API does not answer")

    def answers(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            connection.request("GET", "/api/health")
            is_up = connection.getresponse().status == 200
            connection.close()
        except OSError:
            return False
        return is_up

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait, and give the exit code."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        self.process = None
        return code

    def close(self) -> None:
        if self.process is not None:
            self.stop(signal.SIGKILL)
        self.database.close()

    def session(self, username: str = "duty") -> str:
        """Give the secret of a new session."""
        return self._people.sign_in(username, PASSWORD, address="").secret

    def raise_alerts(self, first: int, last: int) -> None:
        for number in range(first, last + 1):
            with self.database.write() as connection:
                body = {"id": f"a{number}", "priority": 2, "handling": "new"}
                seq = journal.append(
                    connection, at=0, kind="alert", subject=f"a{number}", body=body
                )
                assert seq == number


@dataclass
class Screen:
    """Reads a stream; `seqs` are the numbers of the alerts it was sent, over all its connections."""

    session: str
    seqs: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    last_id: str = ""
    _connection: http.client.HTTPConnection | None = None

    def open(self, port: int, timeout_s: float = PATIENCE_S) -> int:
        self.close()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        headers = {"Cookie": f"linli_session={self.session}"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        self._connection.request("GET", "/api/feed", headers=headers)
        self._answer = self._connection.getresponse()
        return self._answer.status

    def close(self) -> None:
        if self._connection is not None:
            self._answer.close()
            self._connection.close()
            self._connection = None

    def read_event(self) -> str:
        """Give the name of the next event; empty at the end of the stream, TimeoutError when nothing comes."""
        name, ident, data = "", "", ""
        while raw := self._answer.readline():
            key, _, value = raw.decode().rstrip("\n").partition(": ")
            if key == "event":
                name = value
            elif key == "id":
                ident = value
            elif key == "data":
                data = value
            elif not key and name:
                json.loads(data)
                self.last_id = ident or self.last_id
                self.names.append(name)
                if name == "alert":
                    self.seqs.append(int(ident.partition(".")[2]))
                return name
        return ""

    def read_to_the_end(self) -> None:
        while self.read_event():
            continue

    def read_until(self, seq: int) -> None:
        while not self.seqs or self.seqs[-1] < seq:
            assert self.read_event(), f"the stream ended at {self.seqs[-1:]}"
