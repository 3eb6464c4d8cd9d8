"""What the edge does by itself when a value goes past a limit, cloud or no cloud: close a valve, start a sounder.

`step` is pure; `ReflexRunner` keeps the states and carries the actions out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import structlog

from contract.messages import Detail, Quality
from edge.clock import Clock
from edge.driver import DeviceEvent, Reading
from edge.errors import DeviceRefusedError, DeviceUnavailableError, SpoolFullError

log = structlog.get_logger()
RETRY_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0)
WRITE_S: Final = 10.0
TICK_S: Final = 0.25
QUEUE: Final = 256


@dataclass(frozen=True, slots=True)
class Action:
    """Set one output; `value` in the unit of the metric."""

    device: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Rule:
    """One reflex. Exactly one of `above` and `below` is set; `clear` is where it is armed anew."""

    id: str
    device: str
    metric: str
    above: float | None
    below: float | None
    clear: float
    for_s: float
    actions: tuple[Action, ...]

    def is_beyond(self, value: float) -> bool:
        """Tell whether the value is past the limit."""
        if self.above is not None:
            return value > self.above
        return self.below is not None and value < self.below

    def is_clear(self, value: float) -> bool:
        """Tell whether the value is back on the safe side of `clear`."""
        return value < self.clear if self.above is not None else value > self.clear


class Phase(StrEnum):
    """Where a reflex stands."""

    ARMED = "armed"
    PENDING = "pending"
    FIRED = "fired"


@dataclass(frozen=True, slots=True)
class ReflexState:
    """A reflex between two looks; `since_s` is when the value went past the limit (monotonic)."""

    phase: Phase = Phase.ARMED
    since_s: float = 0.0


def step(rule: Rule, state: ReflexState, value: float | None, now_s: float) -> ReflexState:
    """Give the state after a value, or after a moment without one (`value` None).

    An unknown value holds what was known last: a sensor that fails while its value is past the limit
    does not stop the clock, so the reflex fires. Acts when the result is FIRED and `state` was not.
    """
    if state.phase is Phase.FIRED:
        return ReflexState() if value is not None and rule.is_clear(value) else state
    if value is not None:
        if not rule.is_beyond(value):
            return ReflexState()
        if state.phase is Phase.ARMED:
            state = ReflexState(Phase.PENDING, now_s)
    if state.phase is Phase.PENDING and now_s - state.since_s >= rule.for_s:
        return replace(state, phase=Phase.FIRED)
    return state


Write = Callable[[str, str, float], Awaitable[None]]
Report = Callable[[Sequence[DeviceEvent]], Awaitable[None]]


class ReflexRunner:
    """Feeds the rules and carries out their actions, each with its own retries."""

    def __init__(
        self, rules: Iterable[Rule], *, write: Write, report: Report, clock: Clock
    ) -> None:
        """Build.

        Args:
            rules: the reflexes of the configuration.
            write: sets an output and confirms it, as `Driver.write` does.
            report: keeps an event on disk.
            clock: for the `for_s` of rules.
        """
        self._rules: dict[tuple[str, str], list[Rule]] = {}
        for rule in rules:
            self._rules.setdefault((rule.device, rule.metric), []).append(rule)
        self._states = {rule.id: ReflexState() for rule in self._all()}
        self._write = write
        self._report = report
        self._clock = clock
        self._fired: asyncio.Queue[Rule] = asyncio.Queue(QUEUE)
        self.fired_total = 0
        self.failed_total = 0

    def _all(self) -> list[Rule]:
        return [rule for rules in self._rules.values() for rule in rules]

    def feed(self, reading: Reading) -> None:
        """Look at one reading; a stale value counts as unknown."""
        rules = self._rules.get((reading.device_id, reading.metric))
        if not rules:
            return
        value = None if reading.quality is Quality.STALE else reading.value
        for rule in rules:
            self._look(rule, value)

    def tick(self) -> None:
        """Look at the clock: a value that stays past its limit fires without a further reading."""
        for rule in self._all():
            if self._states[rule.id].phase is Phase.PENDING:
                self._look(rule, None)

    def _look(self, rule: Rule, value: float | None) -> None:
        before = self._states[rule.id]
        after = step(rule, before, value, self._clock.monotonic_s())
        if after.phase is Phase.FIRED and before.phase is not Phase.FIRED:
            if self._fired.full():
                # Stays pending, so the next look tries again.
                return
            self._fired.put_nowait(rule)
            self.fired_total += 1
        self._states[rule.id] = after

    async def run(self) -> None:
        """Carry out what fires until cancelled; slow outputs do not wait for each other."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick_forever(), name="reflex.tick")
            while True:
                rule = await self._fired.get()
                log.warning("reflex fired", rule=rule.id, device_id=rule.device)
                for action in rule.actions:
                    tasks.create_task(self._act(rule, action), name=f"reflex.{rule.id}")

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    async def _act(self, rule: Rule, action: Action) -> None:
        error, attempts = "", 0
        for pause_s in (*RETRY_S, 0.0):
            attempts += 1
            try:
                async with asyncio.timeout(WRITE_S):
                    await self._write(action.device, action.metric, action.value)
            except (DeviceUnavailableError, DeviceRefusedError, TimeoutError) as failure:
                error = str(failure) or "no confirmation in time"
                await asyncio.sleep(pause_s)
            else:
                error = ""
                break
        if error:
            self.failed_total += 1
            log.error("reflex failed", rule=rule.id, device_id=action.device, error=error)
        detail: Detail = {
            "rule": rule.id,
            "cause": rule.device,
            "metric": action.metric,
            "value": action.value,
            "ok": not error,
            "attempts": attempts,
            "error": error[:300],
        }
        event = DeviceEvent(action.device, "reflex", self._clock.now_ms(), detail=detail)
        try:
            await self._report([event])
        except SpoolFullError as failure:
            log.warning("reflex not recorded", rule=rule.id, error=str(failure))
