"""A small community for tests of alerts: devices, a clock that can be set, a keeper over a real database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud.alerts import ruleset
from cloud.alerts.keeper import AlertKeeper
from cloud.alerts.model import AlarmFact, EventFact, PlainDevice
from cloud.alerts.rule import Rule
from cloud.alerts.service import AlertService
from cloud.alerts.view import AlertView
from cloud.kit.sql import Database
from cloud.notify import journal

START = 1_790_000_000_000
EDGE = "edge-1"
RUNBOOK = (
    "runbook: {cause: c, consequence: q, response: r, respond_within_s: 60,"
    " cause_en: c, consequence_en: q, response_en: r}"
)
RULES = f"""
rules:
  - {{id: smoke.fire, kind: device_alarm, title_zh: 火警, title_en: Fire, priority: P1,
      alarms: [fire], clear_for_s: 60, latch: true, {RUNBOOK}}}
  - {{id: smoke.confirmed, kind: combination, title_zh: 确认火警, title_en: Confirmed fire, priority: P1,
      of: [smoke.fire], at_least: 2, within_s: 180, scope: building, clear_for_s: 60, latch: true, {RUNBOOK}}}
  - {{id: gas.lel, kind: threshold, title_zh: 燃气, title_en: Gas, priority: P1, metric: gas_lel_pct,
      limits: [{{priority: P2, raise_at: '>=5', clear_at: '<3', for_s: 10, title_en: Some gas}},
               {{priority: P1, raise_at: '>=20', clear_at: '<15', for_s: 3}}], clear_for_s: 30, {RUNBOOK}}}
  - {{id: water.low, kind: threshold, title_zh: 水压, title_en: Pressure, priority: P2, metric: pressure_kpa,
      limits: [{{priority: P2, raise_at: '<100', clear_at: '>140'}}], clear_for_s: 10, {RUNBOOK}}}
  - {{id: device.unknown, kind: device_alarm, title_zh: '未知 {{kind}}', title_en: 'Unknown {{kind}}',
      priority: P2, alarms: ['*'], {RUNBOOK}}}
  - {{id: device.fault, kind: device_alarm, title_zh: 故障, title_en: Fault, priority: P3,
      alarms: [fault, low_battery], clear_for_s: 5, {RUNBOOK}}}
  - {{id: sensor.fault, kind: sensor_fault, title_zh: 传感器, title_en: Sensor, priority: P3, for_s: 5, {RUNBOOK}}}
  - {{id: edge.offline, kind: absence, title_zh: 节点离线, title_en: Edge offline, priority: P2, scope: edge,
      for_s: 10, clear_for_s: 5, closes_itself: true, {RUNBOOK}}}
  - {{id: gateway.offline, kind: absence, title_zh: 网关离线, title_en: Gateway offline, priority: P3,
      devices: {{kinds: [uitd, line]}}, scope: gateway, for_s: 15, clear_for_s: 5,
      collapse: {{share: 0.5, at_least: 3}}, {RUNBOOK}}}
  - {{id: device.offline, kind: absence, title_zh: 设备离线, title_en: Device offline, priority: P3,
      devices: {{kinds: [gas, pressure, smoke]}}, scope: device, for_s: 30, clear_for_s: 5,
      silence: {{factor: 3, jitter_s: 5, min_s: 60}}, {RUNBOOK}}}
"""


def rules_of(text: str = RULES) -> tuple[Rule, ...]:
    return ruleset.parse([ruleset.Source("rules.yaml", text)], must_catch_all=False)


@dataclass
class Place:
    path: str
    name_zh: str = ""
    name_en: str = ""
    x: float | None = 1.0
    y: float | None = 2.0


@dataclass
class Town:
    """A directory of devices in two buildings."""

    devices: dict[str, PlainDevice] = field(default_factory=dict)

    def add(self, device: str, kind: str, *, gateway: str = "", place: str = "b01/f01") -> str:
        self.devices[device] = PlainDevice(
            device, kind, f"name of {device}", EDGE, gateway, place, "一号楼", "One", 3.0, 4.0, 10.0
        )
        return device

    def device(self, device_id: str) -> PlainDevice | None:
        return self.devices.get(device_id)

    def place(self, path: str) -> Place | None:
        return Place(path, "一号楼", "One") if path.startswith("b") else None


@dataclass
class SetClock:
    """A clock that tests move; the wall may jump, steady time may not."""

    wall: int = START
    steady_s: float = 1_000.0

    def now_ms(self) -> int:
        return self.wall

    def monotonic_s(self) -> float:
        return self.steady_s

    def pass_s(self, seconds: float) -> None:
        self.wall += round(seconds * 1000)
        self.steady_s += seconds


@dataclass(frozen=True)
class Key:
    device: str
    metric: str


class World:
    """A keeper, a service and their database; every step is saved unless said."""

    def __init__(
        self, folder: Path, *, rules: Sequence[Rule] | None = None, url: str | None = None
    ) -> None:
        self.town = Town()
        self.clock = SetClock()
        self.database = Database(url or f"sqlite:///{folder / 'app.db'}")
        self.database.create_all()
        with self.database.write() as connection:
            journal.start(connection, START)
        self.rules = tuple(rules) if rules is not None else rules_of()
        self.series: dict[int, Key] = {}
        self._alarms = 0
        self.is_batching = False
        self.service = AlertService(database=self.database, clock=self.clock)
        self.restart()

    def close(self) -> None:
        self.database.close()

    def restart(self) -> None:
        """Kill the worker and start another; unsaved facts are gone."""
        self.keeper = AlertKeeper(
            database=self.database, rules=self.rules, directory=self.town, clock=self.clock
        )
        self.keeper.load()
        self.keeper.watch(self.series)

    def measure(self, device: str, metric: str) -> int:
        series = len(self.series) + 1
        self.series[series] = Key(device, metric)
        self.keeper.watch(self.series)
        return series

    def save(self) -> None:
        if self.keeper.has_changes and not self.is_batching:
            with self.database.write() as connection:
                self.keeper.save(connection, self.clock.now_ms())

    def read(self, series: int, value: float | None, *, age_s: float = 0, quality: int = 0) -> None:
        at = self.clock.wall - round(age_s * 1000)
        self.keeper.feed_readings([(at, series, value, quality)], self.clock.wall)
        self.save()

    def alarm(self, device: str, kind: str = "fire", *, on: bool = True, **more: Any) -> AlarmFact:
        self._alarms += 1
        age_s = more.pop("age_s", 0)
        at = self.clock.wall - round(age_s * 1000)
        given: dict[str, Any] = {"alarm_id": f"a{self._alarms}", **more}
        fact = AlarmFact(device, kind, on, at, self.clock.wall, **given)
        self.keeper.feed_alarm(fact)
        self.save()
        return fact

    def link(self, device: str, *, up: bool) -> None:
        kind = "link_up" if up else "link_down"
        self.keeper.feed_event(EventFact(device, kind, self.clock.wall, self.clock.wall))
        self.save()

    def edge(self, *, online: bool) -> None:
        self.keeper.feed_edge(EDGE, online, self.clock.wall)
        self.save()

    def wait(self, seconds: float, heartbeat: Mapping[int, float] | None = None) -> None:
        """Let time pass second by second; `heartbeat` gives series that are heard meanwhile, and their value."""
        for _ in range(round(seconds)):
            self.clock.pass_s(1)
            for series, value in (heartbeat or {}).items():
                self.read(series, value)
            self.keeper.tick(self.clock.wall)
            self.save()

    def alerts(self, state: str = "open", *, suppressed: bool = False) -> list[AlertView]:
        return self.service.list(state=state, with_suppressed=suppressed).alerts

    def only(self, state: str = "open") -> AlertView:
        (alert,) = self.alerts(state)
        return alert

    def journal(self) -> list[journal.Entry]:
        with self.database.read() as connection:
            return journal.after(connection, 0)
