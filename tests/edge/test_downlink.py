"""Commands act once, whatever is repeated; configurations are judged before anything changes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from contract.codec import Message, decode_reply, encode
from contract.config_text import ConfigError, Mistake
from contract.messages import Command, ConfigPush, Detail, Reply
from contract.topics import Channel
from edge.downlink import Downlink, DownlinkDoors, replace_file
from edge.errors import DeviceRefusedError, DeviceUnavailableError
from edge.spool import Spool
from tests.edge.clocks import FakeClock


class Bench:
    """Stands in for the uplink, the drivers and the agent."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.inbox: asyncio.Queue[tuple[Channel, bytes]] = asyncio.Queue(32)
        self.replies: list[Reply] = []
        self.births = 0
        self.restarts = 0
        self.written: list[tuple[str, str, float]] = []
        self.failure: Exception | None = None
        self.events: list[tuple[str, Detail]] = []
        self.mistakes: list[Mistake] = []
        self.path = folder / "edge.yaml"
        self.path.write_text("old")
        self.spool = Spool(folder / "spool.db", limit_mb=8, clock=self.clock)

    async def reply(self, payload: bytes) -> bool:
        self.replies.append(decode_reply(payload))
        return True

    def request_birth(self) -> None:
        self.births += 1

    async def write(self, device: str, metric: str, value: float) -> None:
        if self.failure:
            raise self.failure
        self.written.append((device, metric, value))

    async def report(self, kind: str, detail: Detail) -> None:
        self.events.append((kind, detail))

    def judge(self, text: str) -> None:
        if self.mistakes:
            raise ConfigError(self.mistakes)

    def restart(self) -> None:
        self.restarts += 1

    async def serve(self, *messages: Message) -> list[Reply]:
        """Put messages into the inbox of a fresh downlink and run it until they are worked off."""
        self.replies.clear()
        downlink = Downlink(
            self.inbox,
            outlet=self,
            doors=DownlinkDoors(self.write, self.report, self.judge, self.restart),
            spool=self.spool,
            config_path=self.path,
            clock=self.clock,
        )
        for message in messages:
            channel = Channel.CONFIG if isinstance(message, ConfigPush) else Channel.COMMAND
            self.inbox.put_nowait((channel, encode(message)))
        # The last one answers when all before it are done.
        last = Command(id=f"end-{self.clock.seconds}", op="ping", issued_at=0, expires=1 << 50)
        self.clock.pass_s(0.001)
        self.inbox.put_nowait((Channel.COMMAND, encode(last)))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(downlink.run(), name="downlink")
            async with asyncio.timeout(30):
                while not any(r.id == last.id for r in self.replies):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            task.cancel()
        return [reply for reply in self.replies if reply.id != last.id]

    def command(self, op: str, name: str = "c1", **args: str | float) -> Command:
        now = self.clock.now_ms()
        return Command(id=name, op=op, args=dict(args), issued_at=now, expires=now + 60_000)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.spool.close()


def push(version: int, document: str = "new") -> ConfigPush:
    digest = hashlib.sha256(document.encode()).hexdigest()
    return ConfigPush(version=version, document=document, sha256=digest)


async def test_a_repeated_command_acts_once_and_gets_the_same_answer(bench: Bench) -> None:
    command = bench.command("write", device="gas-1", metric="valve_open", value=0)
    first = await bench.serve(command)
    bench.clock.pass_s(3600)
    again = await bench.serve(command, command)
    assert bench.written == [("gas-1", "valve_open", 0.0)]
    assert first[0].ok
    assert again == first * 2


async def test_a_command_cut_off_by_a_restart_is_not_acted_on_again(bench: Bench) -> None:
    command = bench.command("write", device="gas-1", metric="valve_open", value=0)
    await bench.spool.claim_command("c1", bench.clock.now_ms(), bench.clock.now_ms() + 1000)
    [reply] = await bench.serve(command)
    assert not reply.ok
    assert "outcome is unknown" in reply.message
    assert bench.written == []


async def test_expired_unknown_and_malformed_commands_are_refused(bench: Bench) -> None:
    late = bench.command("ping", "late")
    bench.clock.pass_s(61)
    odd = bench.command("reboot", "odd")
    short = bench.command("write", "short", device="gas-1")
    bench.inbox.put_nowait((Channel.COMMAND, b"\xc1"))
    replies = await bench.serve(late, odd, short)
    assert [reply.ok for reply in replies] == [False] * 3
    assert "expiry" in replies[0].message
    assert "known: rebirth, write, ping" in replies[1].message
    assert "device, metric and value" in replies[2].message


async def test_ping_and_rebirth_are_answered(bench: Bench) -> None:
    replies = await bench.serve(bench.command("ping", "p"), bench.command("rebirth", "r"))
    assert [(reply.id, reply.ok) for reply in replies] == [("p", True), ("r", True)]
    assert bench.births == 1


@pytest.mark.parametrize(
    "failure", [DeviceUnavailableError("gas-1: no answer"), DeviceRefusedError("gas-1: no coil")]
)
async def test_a_device_that_fails_is_told(bench: Bench, failure: Exception) -> None:
    bench.failure = failure
    [reply] = await bench.serve(
        bench.command("write", device="gas-1", metric="valve_open", value=0)
    )
    assert (reply.ok, reply.message) == (False, str(failure))


async def test_a_good_configuration_replaces_the_file_and_keeps_the_old(bench: Bench) -> None:
    await bench.serve(push(3))
    assert bench.path.read_text() == "new"
    assert bench.path.with_name("edge.yaml.previous").read_text() == "old"
    assert bench.events == [("config_applied", {"version": 3})]
    await bench.serve(push(3))
    assert (bench.restarts, len(bench.events)) == (1, 1), "retained: it comes again"


async def test_a_bad_configuration_changes_nothing_and_tells_every_mistake(bench: Bench) -> None:
    bench.mistakes = [Mistake("edge.yaml", 3, "uplink.port", "too large"), Mistake("b", 4, "", "c")]
    await bench.serve(push(4))
    assert bench.path.read_text() == "old"
    assert bench.restarts == 0
    [(kind, detail)] = bench.events
    assert kind == "config_refused"
    assert detail["version"] == 4
    assert str(detail["mistakes"]).count("\n") == 1


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda item: ConfigPush(version=9, document="x", sha256=item.sha256), "sha256"),
        (lambda _: push(2), "not newer than 3"),
    ],
)
async def test_a_spoilt_or_old_configuration_is_refused(
    bench: Bench, break_it: Callable[[ConfigPush], ConfigPush], reason: str
) -> None:
    await bench.serve(push(3))
    await bench.serve(break_it(push(9)))
    assert bench.restarts == 1
    assert bench.events[-1][0] == "config_refused"
    assert reason in str(bench.events[-1][1]["mistakes"])


def test_replacing_never_leaves_a_half_written_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text("old")

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, "new")
    assert path.read_text() == "old"
