"""A duty desk for browser tests: the real API process over a real database, alerts raised by the real keeper."""

import contextlib
import http.client
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cloud.alerts import ruleset
from cloud.alerts.keeper import AlertKeeper
from cloud.alerts.model import AlarmFact, Verdict
from cloud.alerts.service import AlertService
from cloud.devices import registry
from cloud.devices.directory import Directory
from cloud.devices.site import SiteFile
from cloud.errors import ConflictError
from cloud.kit import migrations
from cloud.kit.clock import SystemClock
from cloud.kit.password import Passwords
from cloud.kit.sql import Database
from cloud.notify import journal
from cloud.people.accounts import Accounts
from cloud.people.model import Role
from cloud.series.model import SeriesKey
from cloud.series.service import open_series
from contract.messages import Birth, DeviceBirth, MetricBirth

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dashboards" / "dist"
PASSWORD = "a quiet river at night"
PATIENCE_S = 60.0
EDGE = "shuibei-edge-1"
SHOPS = (
    ("老王川菜馆", "Lao Wang Sichuan Kitchen"),
    ("向日葵幼儿园", "Sunflower Kindergarten"),
    ("深圳市水贝珠宝文化创意产业发展有限公司", "Shuibei Jewellery Culture and Creative Industry Co."),
    ("陈记牛杂", "Chen Beef Offal"),
)  # fmt: skip
DETECTORS = 48
GAS = "shuibei-gas-001"
DAY_MS = 86_400_000


def wait_for(claim: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def a_site() -> SiteFile:
    """Twelve buildings of four floors with one shop each."""
    places: list[dict[str, object]] = []
    for number in range(12):
        street, row = "一二三"[number // 4], number // 4
        building = f"b{number + 1:02d}"
        places.append({
            "path": building, "kind": "building", "floors": 4, "width": 60, "depth": 26,
            "name_zh": f"水贝{street}街{number % 4 * 2 + 1}号",
            "name_en": f"{number % 4 * 2 + 1} Shuibei {row + 1} St",
            "x": 40 + number % 4 * 140, "y": 50 + row * 120,
        })  # fmt: skip
        for floor in range(1, 5):
            zh, en = SHOPS[floor - 1]
            path = f"{building}/f{floor:02d}"
            places.append({"path": path, "kind": "floor", "name_zh": f"{floor}层", "name_en": f"F{floor}"})  # fmt: skip
            places.append({"path": f"{path}/r{floor}01", "kind": "room", "name_zh": zh, "name_en": en})  # fmt: skip
    return SiteFile.model_validate({
        "site": {"id": "shuibei", "name_zh": "水贝社区", "name_en": "Shuibei", "width_m": 600, "depth_m": 400},
        "places": places,
        "edges": [{"id": EDGE, "name": "一号边缘节点"}],
        "devices": [{"id": smoke(n), "x": 60 + n % 4 * 140, "y": 60 + n // 4 % 3 * 120} for n in range(DETECTORS)],
    })  # fmt: skip


def smoke(number: int) -> str:
    return f"shuibei-smoke-{number + 1:03d}"


def a_birth(at: int) -> Birth:
    """One edge with detectors behind a transmission device, and a gas transmitter with values."""
    devices = [DeviceBirth(id="shuibei-uitd-01", kind="uitd", model="uitd", name="1号传输装置")]
    for number in range(DETECTORS):
        floor = number // 12 + 1
        place = f"b{number % 12 + 1:02d}/f{floor:02d}/r{floor}01"
        devices.append(
            DeviceBirth(
                id=smoke(number),
                kind="smoke",
                model="uitd",
                gateway="shuibei-uitd-01",
                name=f"{SHOPS[floor - 1][0]} 厨房",
                place=place,
            )
        )
    devices.append(
        DeviceBirth(id=GAS, kind="gas", model="gas-lel-simple", name="老王川菜馆 厨房",
                    place="b01/f01/r101", period_s=2.0)
    )  # fmt: skip
    metrics = [
        MetricBirth(alias=1, device=GAS, metric="gas_lel_pct", low=0, high=100),
        MetricBirth(alias=2, device=GAS, metric="valve_open"),
    ]
    return Birth(
        epoch=at, boot=at, at=at, software="linli 0.1.0", model=7, devices=devices, metrics=metrics
    )


def a_leak(minutes_ago: int) -> float:
    """Give %LEL: the breathing of a kitchen, and a leak in the last quarter of an hour."""
    quiet = 2.4 + 0.8 * math.sin(minutes_ago / 90) + minutes_ago % 5 / 20
    return round(quiet + max(0, 15 - minutes_ago) ** 2 / 9.6, 1)


class Desk:
    """One folder with settings and database; the API process can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "secrets").mkdir(parents=True)
        (folder / "secrets" / "linli-cloud").write_text("x\n")
        self.clock = SystemClock()
        self.database = Database(f"sqlite:///{folder}/app.db")
        self.process: subprocess.Popen[str] | None = None
        self.port = 0
        self.series: dict[int, SeriesKey] = {}
        self.given = ""  # the password that somebody else gave to "li"
        self._prepare()
        self._write_settings()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        migrations.upgrade(self.database)
        now = self.clock.now_ms()
        with self.database.write() as connection:
            journal.start(connection, now)
            registry.import_site(connection, a_site())
            registry.apply_birth(connection, EDGE, a_birth(now), now)
            registry.apply_online(connection, EDGE, is_online=True, at=now)
            for device in a_birth(now).devices:
                registry.apply_link(
                    connection,
                    device.id,
                    is_up=device.id != smoke(40),
                    measured_at=now,
                    reason="",
                    at=now,
                )
            registry.apply_self_test(
                connection, GAS, measured_at=now - 12 * DAY_MS, detail={"ok": True}, at=now
            )
        accounts = Accounts(
            self.database, clock=self.clock, passwords=Passwords(memory_kib=8, passes=1)
        )
        accounts.add(username="zhang", name="张班长", role=Role.DUTY, password=PASSWORD)
        self.given = accounts.add(username="li", name="李师傅", role=Role.DUTY).password or ""
        directory = Directory()
        with self.database.read() as connection:
            directory.refresh(connection)
        rules = ruleset.load(ROOT / "config" / "rules")
        self.keeper = AlertKeeper(
            database=self.database, rules=rules, directory=directory, clock=self.clock
        )
        self.keeper.load()
        self._fill_series(now)
        self.keeper.watch(self.series)

    def _fill_series(self, now: int) -> None:
        store = open_series(self.folder / "series", self.clock)
        try:
            keys = store.register([SeriesKey(GAS, name) for name in ("gas_lel_pct", "valve_open")])
            for key, series in keys.items():
                is_gas = key.metric == "gas_lel_pct"
                self.series |= {series: key} if is_gas else {}
                rows = [
                    (now - ago * 60_000, series, a_leak(ago) if is_gas else 1.0, 0)
                    for ago in range(1_440)
                ]
                store.append(rows, [])
        finally:
            store.close()

    def _write_settings(self) -> None:
        (self.folder / "cloud.yaml").write_text(
            f"web: {{port: {self.port}, dist: {DIST}}}\nrules: {ROOT / 'config' / 'rules'}\n"
        )

    def start(self) -> None:
        command = [sys.executable, "-m", "cloud", "serve", "--config"]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, str(self.folder / "cloud.yaml")],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "log").read_text()
        self.port = int(line.strip().rpartition(":")[2])
        self._write_settings()
        wait_for(self._answers, "the API does not answer")

    def _answers(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            connection.request("GET", "/api/health")
            connection.getresponse().read()
            connection.close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        self.process = None

    def close(self) -> None:
        if self.process is not None:
            self.kill()
        self.database.close()

    def clear(self) -> None:
        """Close every alert, so that the next test begins with an empty list; it must use other devices."""
        service = AlertService(database=self.database, clock=self.clock)
        while found := service.list(state="open", with_suppressed=True).alerts:
            for alert in found:
                # One that another explained may have gone with it.
                with contextlib.suppress(ConflictError):
                    service.close(alert.id, "test", Verdict.TEST, None)

    def alarm(self, device: str, kind: str = "fire", *, on: bool = True) -> None:
        """Let a device say it, as the ingest worker would hear it."""
        now = self.clock.now_ms()
        self.keeper.feed_alarm(
            AlarmFact(device, kind, on, measured_at=now - 40, received_at=now - 12, alarm_id=f"{device}-{kind}-{now}")
        )  # fmt: skip
        with self.database.write() as connection:
            self.keeper.save(connection, now)

    def measure(self, value: float) -> None:
        """Let the gas transmitter report a value now."""
        now = self.clock.now_ms()
        self.keeper.feed_readings([(now, series, value, 0) for series in self.series], now)
        self.keeper.tick(now)
        with self.database.write() as connection:
            self.keeper.save(connection, now)
