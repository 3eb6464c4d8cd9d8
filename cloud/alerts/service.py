"""What people do with alerts: one function per command, one transaction each."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from cloud.alerts import chain, handling, store
from cloud.alerts.alert import Alert, note_of
from cloud.alerts.ledger import Ledger
from cloud.alerts.model import SYSTEM, Handling, Verdict
from cloud.alerts.view import (
    AlertDetail,
    AlertPage,
    AlertView,
    HistoryView,
    PastVerdict,
    line_of,
    verdict_of,
    view_of,
)
from cloud.errors import NotFoundError
from cloud.kit.clock import Clock
from cloud.kit.sql import Connection, Database
from cloud.notify import journal

RECENT_VERDICTS = 5


class AlertService:
    """Commands and questions of people; conditions belong to the keeper, handling to people.

    Every command reads the alert as it stands under the write lock, so of two people who do the same at
    once one is told what the other did.
    """

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # --- commands ----------------------------------------------------------------------------------

    def acknowledge(self, alert_id: str, who: str, note: str | None = None) -> AlertView:
        """Take an alert over.

        Raises:
            NotFoundError: there is no such alert.
            ConflictError: it is not new any more.
        """
        return self._change(
            alert_id, who, "acknowledged", note, lambda a, now: handling.acknowledge(a, who, now)
        )

    def verify(
        self, alert_id: str, who: str, verdict: Verdict, note: str | None = None
    ) -> AlertView:
        """Say what it is.

        Raises:
            NotFoundError: there is no such alert.
            ConflictError: it is closed.
        """
        return self._change(
            alert_id, who, "verified", note, lambda a, now: handling.verify(a, who, verdict, now)
        )

    def close(
        self,
        alert_id: str,
        who: str,
        verdict: Verdict | None = None,
        note: str | None = None,
    ) -> AlertView:
        """Finish an alert and all that it explains.

        Raises:
            NotFoundError: there is no such alert.
            InvalidError: priority 1 and 2 need a verdict.
            ConflictError: it is closed already, or the device still alarms and the verdict does not
                say that the alarm is not real.
        """
        return self._change(
            alert_id, who, "closed", note, lambda a, now: handling.close(a, who, verdict, now)
        )

    def comment(self, alert_id: str, who: str, note: str) -> AlertView:
        """Add a remark.

        Raises:
            NotFoundError: there is no such alert.
        """
        return self._change(
            alert_id, who, "commented", note, lambda a, now: handling.comment(a, note, now)
        )

    def _change(
        self,
        alert_id: str,
        who: str,
        what: str,
        note: str | None,
        change: Callable[[Alert, int], Alert],
    ) -> AlertView:
        with self._database.write() as connection:
            now = self._clock.now_ms()
            alert = _found(connection, alert_id)
            changed = change(alert, now)
            if note:
                changed = replace(changed, note=note)
            ledger = Ledger(connection)
            ledger.put(changed, note_of(changed, at=now, who=who, what=what, why=note or ""))
            if changed.handling in {Handling.VERIFIED, Handling.CLOSED}:
                self._spread(connection, ledger, changed, who, now)
            ledger.flush(now)
            return view_of(_found(connection, alert_id))

    def _spread(
        self, connection: Connection, ledger: Ledger, alert: Alert, who: str, now: int
    ) -> None:
        """Do to the alerts inside a combined one what was done to it; behind a gateway they are freed."""
        for member in store.held_by(connection, alert.id):
            if not alert.verdict:
                free = handling.free(member, now)
                why = "what explained it is closed"
                ledger.put(free, note_of(free, at=now, who=SYSTEM, what="released", why=why))
                continue
            if alert.handling is Handling.CLOSED:
                changed = handling.close_with(member, who, alert.verdict, now)
            else:
                changed = handling.verify(member, who, alert.verdict, now)
            why = f"with alert {alert.id}"
            what = changed.handling.value
            ledger.put(changed, note_of(changed, at=now, who=who, what=what, why=why))
            # A detector inside a confirmed fire may itself hold the sum that its panel told.
            self._spread(connection, ledger, changed, who, now)

    # --- questions -----------------------------------------------------------------------------------

    def get(self, alert_id: str) -> AlertDetail:
        """Give an alert with its history and what earlier alerts of its device turned out to be.

        Raises:
            NotFoundError: there is no such alert.
        """
        with self._database.read() as connection:
            alert = _found(connection, alert_id)
            lines = [line_of(chained) for chained in store.history(connection, alert_id)]
            verdicts = self._verdicts(connection, alert)
        return AlertDetail(
            **view_of(alert).model_dump(), history=lines, recent_verdicts=list(verdicts)
        )

    def _verdicts(self, connection: Connection, alert: Alert) -> Sequence[PastVerdict]:
        if alert.device is None:
            return []
        past = store.verdicts_of_device(connection, alert.device, RECENT_VERDICTS + 1)
        found = [verdict_of(other) for other in past if other.id != alert.id]
        return [verdict for verdict in found if verdict is not None][:RECENT_VERDICTS]

    def history(self, alert_id: str) -> HistoryView:
        """Give an alert's history and check its chain.

        Raises:
            NotFoundError: there is no such alert.
        """
        with self._database.read() as connection:
            alert = _found(connection, alert_id)
            links = store.history(connection, alert_id)
        broken = chain.broken_at(alert_id, links, alert.history_count, alert.history_hash)
        return HistoryView(
            alert=alert_id,
            is_whole=broken is None,
            broken_at=broken,
            lines=[line_of(chained) for chained in links],
        )

    def list(
        self,
        *,
        state: str = "open",
        priority: int | None = None,
        device: str | None = None,
        text: str = "",
        before: str | None = None,
        limit: int = 500,
        with_suppressed: bool = False,
    ) -> AlertPage:
        """Give alerts, newest first, together with the journal number they reflect."""
        with self._database.read() as connection:
            head = journal.head(connection)
            found = store.page(
                connection,
                state=state,
                priority=priority,
                device=device,
                text=text,
                before=before,
                limit=limit + 1,
                with_suppressed=with_suppressed,
            )
        shown = found[:limit]
        return AlertPage(
            epoch=head.epoch,
            seq=head.seq,
            alerts=[view_of(alert) for alert in shown],
            next=shown[-1].id if len(found) > limit else None,
        )

    def members(self, alert_id: str) -> Sequence[AlertView]:
        """Give the open alerts that this one explains.

        Raises:
            NotFoundError: there is no such alert.
        """
        with self._database.read() as connection:
            _found(connection, alert_id)
            return [view_of(alert) for alert in store.held_by(connection, alert_id)]


def _found(connection: Connection, alert_id: str) -> Alert:
    alert = store.get(connection, alert_id)
    if alert is None:
        raise NotFoundError(f"there is no alert {alert_id}", "reload the list")
    return alert
