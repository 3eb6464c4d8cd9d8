"""What keeps the event stream running: the watch on the journal, the beat, the check of sessions and receipts."""

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from cloud.errors import InvalidError
from cloud.kit.clock import Clock
from cloud.kit.sql import Database, DatabaseError
from cloud.notify import journal
from cloud.notify.journal import Entry, Head
from cloud.people.model import Principal
from cloud.people.service import PeopleService
from cloud.screens import store
from cloud.screens.feed import BEAT_S, RING_ENTRIES, Feed, StreamLimits
from cloud.screens.store import ChangeWatch, Receipt
from cloud.screens.unseen import UnseenWatch

SESSION_CHECK_S: Final = 5.0
UNSEEN_CHECK_S: Final = 1.0
RECEIPTS_LISTED: Final = 500
_PRELOADED: Final = 1_000
_RETRY_S: Final = 1.0
_ENDING_S: Final = 2.0
_RECEIPT_KEPT_MS: Final = 7 * 86_400_000

log: Final = structlog.stdlib.get_logger("screens")


class ScreenService:
    """The stream and the receipts of one process.

    Args:
        database: holds journal, receipts.
        people: tells whether the listeners may go on listening.
        clock: what time it is.
        limits: how many streams may be open.
    """

    def __init__(
        self, database: Database, *, people: PeopleService, clock: Clock, limits: StreamLimits
    ) -> None:
        self._database = database
        self._people = people
        self._clock = clock
        self._limits = limits
        self._watch = ChangeWatch(database)
        self._unseen = UnseenWatch(database, clock=clock)
        self._stop = threading.Event()
        self._journal_reader = ThreadPoolExecutor(2, thread_name_prefix="feed-journal")
        self._watcher = ThreadPoolExecutor(1, thread_name_prefix="feed-watch")
        self._feed: Feed | None = None

    @property
    def feed(self) -> Feed:
        """Give the stream; only while `run` runs."""
        if self._feed is None:
            raise RuntimeError("the feed is not running")
        return self._feed

    @property
    def streams(self) -> int:
        """Tell how many streams are open."""
        return 0 if self._feed is None else len(self._feed.streams)

    async def run(self, started: asyncio.Event) -> None:
        """Run until cancelled; `started` is set when streams can be opened."""
        loop = asyncio.get_running_loop()
        head, recent = await loop.run_in_executor(self._journal_reader, self._prepare)
        first = recent[0].seq - 1 if recent else head.seq
        self._feed = feed = Feed(
            Head(head.epoch, first), clock=self._clock, replay=self._replay, limits=self._limits
        )
        feed.publish(head, recent)
        started.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = loop.run_in_executor(self._watcher, self._watch_journal, loop, feed)
                tasks.create_task(self._awaited(watching), name="feed-watch")
                tasks.create_task(self._beat(feed), name="feed-beat")
                tasks.create_task(self._check_sessions(feed), name="feed-sessions")
                tasks.create_task(self._check_unseen(feed), name="feed-unseen")
        finally:
            self.stop()

    def stop(self, reason: str = "stopping") -> None:
        """End every stream and the watch; called on the loop."""
        self._stop.set()
        if self._feed is not None:
            self._feed.close(reason)
        self._watcher.shutdown(wait=False)
        self._journal_reader.shutdown(wait=False)

    def displayed(
        self, principal: Principal, *, seq: int, screen: str, epoch: int | None
    ) -> Receipt:
        """Note that a screen shows everything up to `seq`.

        Raises:
            InvalidError: the stream has not come so far, or it is another one.
        """
        with self._database.write() as connection:
            head = journal.head(connection)
            if seq > head.seq or epoch not in {None, head.epoch}:
                raise InvalidError(
                    f"the stream stands at {head.epoch}.{head.seq}",
                    "take a snapshot and go on from there",
                )
            receipt = Receipt(
                screen or principal.credential[:32],
                principal.user_id,
                head.epoch,
                seq,
                self._clock.now_ms(),
            )
            store.store_receipt(connection, receipt)
        return receipt

    def receipts(self) -> list[Receipt]:
        """Give what the screens have displayed, latest first, at most 500."""
        with self._database.read() as connection:
            return store.receipts(connection, RECEIPTS_LISTED)

    def forget_old(self) -> int:
        """Remove receipts of screens not heard of for a week; tell how many rows went."""
        before = self._clock.now_ms() - _RECEIPT_KEPT_MS
        with self._database.write() as connection:
            return store.forget_receipts(connection, before) + store.forget_unseen(
                connection, before
            )

    def _prepare(self) -> tuple[Head, Sequence[Entry]]:
        with self._database.read() as connection:
            head = journal.head(connection)
            recent = journal.after(connection, max(0, head.seq - _PRELOADED), _PRELOADED)
        self._unseen.observe(recent)
        return head, recent

    async def _awaited(self, watching: asyncio.Future[None]) -> None:
        try:
            await asyncio.shield(watching)
        finally:
            # Its connections must be closed before the database is.
            self._stop.set()
            await asyncio.wait([watching], timeout=_ENDING_S)

    def _watch_journal(self, loop: asyncio.AbstractEventLoop, feed: Feed) -> None:
        """Look for changes until stopped; runs in its own thread and hands what it finds to the loop."""
        try:
            self._watch_until_stopped(loop, feed)
        finally:
            self._watch.forget()

    def _watch_until_stopped(self, loop: asyncio.AbstractEventLoop, feed: Feed) -> None:
        known = Head(feed.epoch, feed.ring.head)
        is_blind = False
        while not self._stop.wait(_RETRY_S if is_blind else self._watch.interval_s):
            try:
                known, entries = self._look(known)
            except (sqlite3.Error, DatabaseError) as error:
                self._watch.forget()
                if not is_blind:
                    log.warning("journal cannot be read", error=str(error))
                is_blind = True
                continue
            if is_blind:
                log.info("journal can be read again")
                is_blind = False
            if entries is None:
                feed.looked()
                continue
            try:
                loop.call_soon_threadsafe(feed.publish, known, entries)
            except RuntimeError:
                return

    def _look(self, known: Head) -> tuple[Head, list[Entry] | None]:
        """Read what is new; None when nothing is."""
        if not self._watch.has_changed() or self._stop.is_set():
            return known, None
        with self._database.read() as connection:
            head = journal.head(connection)
            if head == known:
                return known, None
            if head.epoch != known.epoch or head.seq < known.seq:
                return head, []
            entries = journal.after(connection, known.seq, RING_ENTRIES)
        while entries and entries[-1].seq < head.seq:
            with self._database.read() as connection:
                more = journal.after(connection, entries[-1].seq, RING_ENTRIES)
            if not more:
                break
            entries = more
        return (Head(head.epoch, entries[-1].seq) if entries else head), entries

    async def _replay(self, seq: int, upto: int) -> Sequence[Entry] | None:
        """Read the changes after `seq` up to `upto`; None when the journal no longer has them all."""
        loop = asyncio.get_running_loop()

        def read() -> list[Entry]:
            with self._database.read() as connection:
                return journal.after(connection, seq, upto - seq)

        entries = await loop.run_in_executor(self._journal_reader, read)
        is_whole = bool(entries) and entries[0].seq == seq + 1 and entries[-1].seq == upto
        return entries if is_whole else None

    async def _beat(self, feed: Feed) -> None:
        while True:
            feed.beat()
            await asyncio.sleep(BEAT_S)

    async def _check_sessions(self, feed: Feed) -> None:
        while True:
            await asyncio.sleep(SESSION_CHECK_S)
            if feed.streams:
                await self.check_sessions()

    async def check_sessions(self) -> int:
        """End the streams whose session ended or whose person has another role; tell how many."""
        feed = self.feed
        principals = {stream.principal for stream in feed.streams}
        try:
            valid = await asyncio.to_thread(self._people.still_valid, tuple(principals))
        except DatabaseError as error:
            log.warning("sessions cannot be checked", error=str(error))
            return 0
        asked = {principal.credential for principal in principals}
        return feed.end(
            lambda who: who.credential in valid or who.credential not in asked, "session_ended"
        )

    async def _check_unseen(self, feed: Feed) -> None:
        loop = asyncio.get_running_loop()
        after = feed.ring.head
        while True:
            await asyncio.sleep(UNSEEN_CHECK_S)
            try:
                after = await loop.run_in_executor(self._journal_reader, self._unseen_step, after)
            except DatabaseError as error:
                log.warning("receipts cannot be checked", error=str(error))

    def _unseen_step(self, after: int) -> int:
        with self._database.read() as connection:
            entries = journal.after(connection, after, RING_ENTRIES)
        self._unseen.observe(entries)
        for alert in self._unseen.check():
            log.error("urgent alert not displayed on any screen", alert_id=alert)
        return entries[-1].seq if entries else after
