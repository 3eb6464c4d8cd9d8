"""The composition root of the ingest worker: builds everything, runs the cycle until told to stop."""

import gc
import os
import secrets
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from cloud import settings as cloud_settings
from cloud.alerts.keeper import AlertKeeper
from cloud.alerts.ownership import Ownership
from cloud.devices.directory import Directory
from cloud.ingest.aliases import AliasBook
from cloud.ingest.chores import Chores
from cloud.ingest.compactor import CompactionChild, InfluxFiles
from cloud.ingest.intake import Intake
from cloud.ingest.lease import Lease, LeaseLostError
from cloud.ingest.outbox import Outbox
from cloud.ingest.ports import Keeper
from cloud.ingest.rejections import RejectionLog
from cloud.ingest.rule_watch import RuleWatch
from cloud.ingest.service import Cycle, StoppedError
from cloud.ingest.subscriptions import subscriptions
from cloud.ingest.writer import SeriesWriter
from cloud.kit.clock import Clock, SystemClock
from cloud.kit.mqtt import BrokerLogin, BrokerTls, Inbox, MqttLink
from cloud.kit.sql import Database
from cloud.notify import journal
from cloud.series import service as series
from cloud.series.model import SeriesStore
from cloud.settings import CloudSettings, InfluxSeries

STOP_S: Final = 8.0
IDLE_S: Final = 0.2
LEASE_RETRY_S: Final = 0.5
OpenKeeper = Callable[[Database, Directory], Keeper]

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Worker:
    """Everything one worker process consists of."""

    database: Database
    lease: Lease
    inbox: Inbox
    link: MqttLink
    writer: SeriesWriter
    cycle: Cycle
    chores: Chores
    compaction: CompactionChild | None
    stop: threading.Event

    def run(self) -> int:
        """Work until `stop` is set.

        Returns:
            0 after a clean stop, 1 when another worker took the shards or a database failed at the end.
        """
        self.cycle.is_stopping = self.stop.is_set
        if not self._acquire():
            return 0
        code = 0
        self.writer.start()
        try:
            self.cycle.load()
            self.link.start()
            # What is loaded stays, and rows hold no cycles: full collections would cost a tenth of the cycle.
            gc.freeze()
            gc.set_threshold(50_000, 50, 100)
            self._loop()
            self.cycle.finish(STOP_S)
            self.lease.release()
        except (LeaseLostError, StoppedError) as error:
            _log.error("worker ends", reason=str(error))
            code = 1
        finally:
            self.link.stop()
            self.writer.stop(1.0)
            if self.compaction is not None:
                self.compaction.stop()
            self.database.close()
        _log.info("worker stopped")
        return code

    def _acquire(self) -> bool:
        while not self.stop.is_set():
            if self.lease.try_acquire():
                _log.info("worker owns shards", first=self.lease.first, last=self.lease.last)
                return True
            self.stop.wait(LEASE_RETRY_S)
        return False

    def _loop(self) -> None:
        while not self.stop.is_set():
            pause = self.chores.run_due()
            if not self.cycle.step():
                self.cycle.wait(min(pause, IDLE_S))


def build(
    settings: CloudSettings,
    *,
    open_series: Callable[[], SeriesStore],
    open_keeper: OpenKeeper,
    clock: Clock,
    compaction: CompactionChild | None,
    look: Callable[[], None] = lambda: None,
) -> Worker:
    """Put a worker together; nothing is opened but the application database's engines."""
    first, last = settings.shards
    database = Database(cloud_settings.database_url(settings))
    with database.write() as connection:
        journal.start(connection, clock.now_ms())
    directory = Directory()
    inbox = Inbox()
    rejections = RejectionLog(clock)
    link = _link(settings, inbox, clock)
    lease = Lease(database, clock, first, last)
    writer = SeriesWriter(open_series, wake=inbox.wake, clock=clock)
    aliases = AliasBook(writer)
    outbox = Outbox(link, clock, settings.shards)
    intake = Intake(
        shards=settings.shards, directory=directory, aliases=aliases, rejections=rejections,
        outbox=outbox, clock=clock,
    )  # fmt: skip
    cycle = Cycle(
        database=database, writer=writer, keeper=open_keeper(database, directory),
        directory=directory, aliases=aliases, intake=intake, outbox=outbox, rejections=rejections,
        inbox=inbox, lease=lease, clock=clock,
    )  # fmt: skip

    chores = Chores(
        cycle=cycle, intake=intake, outbox=outbox, writer=writer, rejections=rejections,
        inbox=inbox, lease=lease, database=database, clock=clock,
        journal_days=settings.retention.journal_days, is_connected=lambda: link.is_connected,
        look=_looking(compaction, look),
    )  # fmt: skip
    return Worker(
        database, lease, inbox, link, writer, cycle, chores, compaction, threading.Event()
    )


def _link(settings: CloudSettings, inbox: Inbox, clock: Clock) -> MqttLink:
    first, last = settings.shards
    return MqttLink(
        broker_login(settings),
        # A name of its own for each process: a second worker must not throw the first off the broker.
        client_id=f"linli-ingest-{first}-{last}-{os.getpid()}-{secrets.token_hex(4)}",
        subscriptions=subscriptions(first, last),
        inbox=inbox,
        clock=clock,
    )


def _looking(compaction: CompactionChild | None, look: Callable[[], None]) -> Callable[[], None]:
    def look_further() -> None:
        if compaction is not None:
            compaction.look()
        look()

    return look_further


def run(settings: CloudSettings) -> int:
    """Be the ingest worker until SIGTERM or SIGINT; gives the exit code.

    Raises:
        ConfigError: a rule or a secret cannot be read.
    """
    clock = SystemClock()
    rules = RuleWatch(settings.rules)
    keepers: list[AlertKeeper] = []

    def open_keeper(database: Database, directory: Directory) -> Keeper:
        keeper = AlertKeeper(
            database=database,
            rules=rules.load(),
            directory=directory,
            clock=clock,
            ownership=Ownership(directory, *settings.shards),
        )
        keepers.append(keeper)
        return keeper

    def look() -> None:
        if rules.is_due():
            keepers[0].reload(settings.rules)

    worker = build(
        settings,
        open_series=lambda: open_store(settings, clock),
        open_keeper=open_keeper,
        clock=clock,
        compaction=compaction_of(settings, clock),
        look=look,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: worker.stop.set())
    signal.signal(signal.SIGHUP, lambda _number, _frame: rules.demand())
    return worker.run()


def open_store(settings: CloudSettings, clock: Clock) -> SeriesStore:
    """Open the series store that the settings name."""
    kept = settings.series
    place = None
    if isinstance(kept, InfluxSeries):
        token = cloud_settings.secret(kept.token_file)
        place = series.InfluxPlace(kept.url, kept.org, kept.bucket, token)
    return series.open_series(kept.path, clock, place)


def compaction_of(settings: CloudSettings, clock: Clock) -> CompactionChild:
    """Give what must run beside the series store."""
    retention, kept = settings.retention, settings.series
    keep = series.keep_days(
        safety=retention.safety_days,
        process=retention.process_days,
        housekeeping=retention.housekeeping_days,
    )
    influx = None
    if isinstance(kept, InfluxSeries):
        influx = InfluxFiles(kept.url, kept.org, kept.bucket, str(kept.token_file))
    return CompactionChild(kept.path, keep, clock, influx)


def broker_login(settings: CloudSettings) -> BrokerLogin:
    """Read who we are at the broker; raises ConfigError when the password file cannot be read."""
    broker = settings.broker
    tls = broker.tls
    return BrokerLogin(
        broker.host,
        broker.port,
        broker.username,
        cloud_settings.secret(broker.password_file),
        BrokerTls(tls.ca_file, tls.cert_file, tls.key_file) if tls is not None else None,
    )
