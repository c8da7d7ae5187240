"""The courier: delivers the messages that the log holds outstanding, one at a time per channel.

A message is recorded as sent after the other side took it: a crash in between sends it again, so
each arrives at least once. Channels wait for nobody but themselves, and nothing waits for them.
"""

from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup

from daemon.actors.alarms.seams import Messenger, Outgoing
from daemon.actors.bulkhead import contained
from daemon.commands import AlarmReport, ReportNotified, ReportNotNotified
from daemon.errors import Failed, Rejected
from daemon.ledger import Ledger
from daemon.ports import Clock
from events.alarms import ChannelName
from events.facts import Failure
from projections.alarms import Mail
from projections.news import mail_due, on_the_way
from projections.state import State

log = structlog.get_logger()

RECHECK_SECONDS = 60.0
"""The wall clock may be set while we wait for a retry."""
BUG = Failure(
    "bug",
    "Valkeep itself failed while it sent this.",
    "Please report this with the daemon's log, which has the traceback.",
)


class Courier:
    """Runs deliveries for the messages that the ledger's state holds outstanding."""

    def __init__(self, ledger: Ledger, clock: Clock, messenger: Messenger) -> None:
        self._ledger = ledger
        self._clock = clock
        self._messenger = messenger
        self._under_way: set[ChannelName] = set()
        self._ended = anyio.Event()

    async def run(self) -> None:
        """Deliver for ever."""
        async with anyio.create_task_group() as tasks:
            while True:
                self._ended = anyio.Event()
                state = self._ledger.state
                with anyio.move_on_after(self._start(tasks)):
                    await self._news(state)

    async def _news(self, state: State) -> None:
        """Wait for a record, or for the end of a delivery."""
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(self._end, waiting.cancel_scope)
            await self._ledger.changed(state)
            waiting.cancel_scope.cancel()

    async def _end(self, scope: anyio.CancelScope) -> None:
        await self._ended.wait()
        scope.cancel()

    def _start(self, tasks: TaskGroup) -> float:
        """Begin what is due on channels that are free; seconds until more may be due."""
        now, waits = self._clock.now(), [RECHECK_SECONDS]
        for name, desk in sorted(self._ledger.state.alarms.channels.items()):
            if name in self._under_way:
                continue
            for mail in on_the_way(desk):
                wait = (mail_due(mail, now) - now).total_seconds()
                if wait <= 0:
                    self._under_way.add(name)
                    tasks.start_soon(self._deliver, mail)
                    break
                waits.append(wait)
        return min(waits)

    async def _deliver(self, mail: Mail) -> None:
        queued = mail.queued
        reports: list[AlarmReport] = []
        try:
            await contained(
                partial(self._try, mail, reports), work=f"message {queued.notification_id}"
            )
            bug = ReportNotNotified(queued.notification_id, queued.channel, BUG)
            await self._ledger.report(reports[0] if reports else bug)
        except Rejected:
            log.info("message no longer wanted", message=queued.notification_id)
        finally:
            self._under_way.discard(queued.channel)
            self._ended.set()

    async def _try(self, mail: Mail, reports: list[AlarmReport]) -> None:
        queued = mail.queued
        outgoing = Outgoing(queued.notification_id, queued.level, queued.title, queued.text)
        try:
            service = await self._messenger.send(queued.channel, outgoing)
        except Failed as error:
            log.warning("message not sent", channel=queued.channel, error=error.message)
            failed = ReportNotNotified(queued.notification_id, queued.channel, error.as_failure())
            reports.append(failed)
        else:
            log.info("message sent", channel=queued.channel, message=queued.notification_id)
            reports.append(ReportNotified(queued.notification_id, queued.channel, service))
