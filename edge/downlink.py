"""The way down: commands are carried out once, configurations are judged before anything changes."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from contract.codec import ContractError, decode_command, decode_config, encode
from contract.config_text import ConfigError
from contract.messages import Command, ConfigPush, Detail, Reply
from contract.topics import Channel
from edge.clock import Clock
from edge.errors import DeviceRefusedError, DeviceUnavailableError, EdgeError
from edge.spool import Spool

log = structlog.get_logger()
KEPT_MS: Final = 86_400_000
WRITE_S: Final = 15.0
ID_LIMIT: Final = 64
MISTAKES_TEXT: Final = 1_900
VERSION_KEY: Final = "config_version"
HANDLED_KEY: Final = "config_handled"


class Outlet(Protocol):
    """The part of the uplink that answers."""

    async def reply(self, payload: bytes) -> bool:
        """Send a reply; False when the link is down."""
        ...

    def request_birth(self) -> None:
        """Have the birth sent again."""
        ...


@dataclass(frozen=True, slots=True)
class DownlinkDoors:
    """What a command can move.

    `write` is that of the drivers; `report` keeps an event of the node; `judge` checks a configuration
    text and raises ConfigError with every mistake; `restart` has the agent load its file anew.
    """

    write: Callable[[str, str, float], Awaitable[None]]
    report: Callable[[str, Detail], Awaitable[None]]
    judge: Callable[[str], None]
    restart: Callable[[], None]


class Downlink:
    """Works off what came down, one after the other."""

    def __init__(
        self,
        inbox: "asyncio.Queue[tuple[Channel, bytes]]",
        *,
        outlet: Outlet,
        doors: DownlinkDoors,
        spool: Spool,
        config_path: Path,
        clock: Clock,
    ) -> None:
        """Build; `config_path` is the file that a pushed configuration replaces."""
        self._inbox = inbox
        self._outlet = outlet
        self._doors = doors
        self._spool = spool
        self._config_path = config_path
        self._clock = clock
        self.handled = 0
        self.refused = 0

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            channel, payload = await self._inbox.get()
            try:
                if channel is Channel.COMMAND:
                    await self._serve(decode_command(payload))
                elif channel is Channel.CONFIG:
                    await self._configure(decode_config(payload))
            except (ContractError, EdgeError) as error:
                self.refused += 1
                log.warning("command refused", channel=channel.value, error=str(error))

    async def _serve(self, command: Command) -> None:
        if not 0 < len(command.id) <= ID_LIMIT:
            raise ContractError(f"a command id has 1 to {ID_LIMIT} characters")
        now = self._clock.now_ms()
        if not await self._spool.claim_command(command.id, now, now + KEPT_MS):
            await self._repeat(command)
            return
        reply = await self._carry_out(command)
        payload = encode(reply)
        await self._spool.keep_reply(command.id, payload)
        self.handled += 1
        await self._outlet.reply(payload)

    async def _repeat(self, command: Command) -> None:
        payload = await self._spool.command_reply(command.id)
        if payload is None:
            # Commands are served one after the other, so an unanswered one was cut off by a restart.
            message = (
                "the node restarted while acting on this; the outcome is unknown, send a new one"
            )
            payload = encode(self._answer(command, message))
            await self._spool.keep_reply(command.id, payload)
        await self._outlet.reply(payload)

    def _answer(self, command: Command, error: str = "", result: Detail | None = None) -> Reply:
        return Reply(
            id=command.id,
            ok=not error,
            at=self._clock.now_ms(),
            message=error[:500],
            result=result or {},
        )

    async def _carry_out(self, command: Command) -> Reply:
        if command.expires <= self._clock.now_ms():
            return self._answer(command, "came after its time of expiry")
        match command.op:
            case "ping":
                return self._answer(command)
            case "rebirth":
                self._outlet.request_birth()
                return self._answer(command)
            case "write":
                return await self._set_output(command)
            case _:
                known = "rebirth, write, ping"
                return self._answer(command, f"unknown op {command.op[:64]!r}; known: {known}")

    async def _set_output(self, command: Command) -> Reply:
        device, metric = command.args.get("device"), command.args.get("metric")
        value = command.args.get("value")
        if (
            not isinstance(device, str)
            or not isinstance(metric, str)
            or not isinstance(value, int | float)
        ):
            return self._answer(command, "write needs device, metric and value (a number)")
        try:
            async with asyncio.timeout(WRITE_S):
                await self._doors.write(device, metric, float(value))
        except (DeviceUnavailableError, DeviceRefusedError) as error:
            return self._answer(command, str(error))
        except TimeoutError:
            return self._answer(command, f"{device} did not confirm within {WRITE_S:.0f} s")
        return self._answer(command, "", {"device": device, "metric": metric, "value": value})

    async def _configure(self, push: ConfigPush) -> None:
        """Judge a pushed configuration; the running one stays until the new one is on disk."""
        handled = f"{push.version}:{push.sha256[:64]}"
        if await self._spool.note(HANDLED_KEY) == handled:
            # Retained: it comes again at each connection.
            return
        problem = await self._problem(push)
        if problem:
            await self._doors.report(
                "config_refused", {"version": push.version, "mistakes": problem[:MISTAKES_TEXT]}
            )
            await self._spool.keep_note(HANDLED_KEY, handled)
            log.warning("configuration refused", version=push.version, mistakes=problem)
            return
        try:
            await asyncio.to_thread(replace_file, self._config_path, push.document)
        except OSError as error:
            await self._doors.report(
                "config_refused", {"version": push.version, "mistakes": f"not written: {error}"}
            )
            log.warning("configuration not written", version=push.version, error=str(error))
            return
        await self._spool.keep_note(VERSION_KEY, push.version)
        await self._spool.keep_note(HANDLED_KEY, handled)
        await self._doors.report("config_applied", {"version": push.version})
        log.info("configuration replaced", version=push.version)
        self._doors.restart()

    async def _problem(self, push: ConfigPush) -> str:
        if hashlib.sha256(push.document.encode()).hexdigest() != push.sha256:
            return "the document does not fit its sha256"
        present = int(await self._spool.note(VERSION_KEY) or 0)
        if push.version <= present:
            return f"version {push.version} is not newer than {present}, which runs"
        try:
            await asyncio.to_thread(self._doors.judge, push.document)
        except ConfigError as error:
            return str(error)
        return ""


def replace_file(path: Path, text: str) -> None:
    """Put `text` in the place of a file at one stroke; what stood there stays beside it as `.previous`."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        kept = path.with_name(f".{path.name}.keep")
        kept.unlink(missing_ok=True)
        kept.hardlink_to(path)
        kept.replace(path.with_name(f"{path.name}.previous"))
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
