"""Figures for Prometheus: what the log says, as samples; the text format is the library's.

Knows what the log knows and how to name it: base units, ``_total`` for what only grows, instants
and not ages (``time() - …`` is the monitoring's). Counters begin with the log, not with the daemon.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from immutables import Map
from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon.answers.standing import HostView, Vitals
from daemon.api.asked import Asked
from daemon.api.copy_figures import copy_figures
from daemon.api.seams import Outside
from daemon.api.views import Moment, next_start
from daemon.api.vitals import judgement
from events.facts import CacheName, VaultName
from projections.assurance import assurance
from projections.catalog import Backup
from projections.checks import LEVELS, Line
from projections.freshness import newest_good
from projections.restore_pace import by_cache
from projections.restores import Restore
from projections.retention import taken_at
from projections.tally import Tally
from projections.vaults import faults_of
from projections.work import outstanding, ready

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COUNTERS: Mapping[str, tuple[str, str]] = {
    "completed": ("backups_completed", "Backups that were completed"),
    "stored_bytes": ("backups_stored_bytes", "Bytes stored by all completed backups"),
    "failed_attempts": ("backup_attempts_failed", "Attempts at a backup that failed"),
    "abandoned": ("backups_abandoned", "Backups that were given up"),
    "skipped": ("backups_skipped", "Backups that were skipped, another being in the way"),
    "missed": ("windows_missed", "Windows that nobody served, the daemon not running"),
    "suspected": ("backups_suspected", "Backups that were flagged as suspect"),
    "verified": ("verifications_passed", "Verifications that ended with a receipt"),
    "refuted": ("verifications_failed", "Verifications that found a backup damaged"),
    "unproven": ("verifications_abandoned", "Verifications that came to nothing"),
    "copied": ("copies_completed", "Copies that were completed"),
    "failed_copies": ("copies_failed", "Tries at a copy that failed"),
    "verified_copies": ("copy_verifications_passed", "Copies that were read back whole"),
    "refuted_copies": ("copy_verifications_failed", "Copies that were found damaged"),
    "restored": ("restores_completed", "Restores into this cache that were completed"),
    "failed_restores": ("restores_failed", "Restores into this cache that failed"),
}
"""What is counted, by the field of `Tally`: its name and its help."""


class Scrape(Struct, frozen=True):
    """What one answer is made of: the state at an instant, every rule's verdict, the daemon."""

    moment: Moment
    lines: tuple[Line, ...]
    vaults: Mapping[VaultName, str]
    version: str
    uptime_seconds: float
    writable: bool
    vitals: Vitals | None = None


async def metrics(asked: Asked) -> bytes:
    """What Prometheus asks for, in its text format."""
    return await figures(asked.outside)


async def figures(outside: Outside) -> bytes:
    """All samples at this instant; the state is immutable, so that a thread can go through it."""
    moment = Moment(outside.ledger.state, outside.clock.now(), outside.board)
    found = await judgement(outside, moment)
    scrape = Scrape(
        moment=moment,
        lines=found.lines,
        vaults=outside.vaults,
        version=outside.version,
        uptime_seconds=(moment.now - outside.started_at).total_seconds(),
        writable=outside.ledger.trouble is None,
        vitals=found.vitals,
    )
    return await outside.offload(exposition, scrape)


def exposition(scrape: Scrape) -> bytes:
    """All samples in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collected(scrape))
    return generate_latest(registry)


class _Collected(Collector):
    """A scrape as the library's registry wants it."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def collect(self) -> Iterable[Metric]:
        """Every family once."""
        scrape = self._scrape
        yield from _of_daemon(scrape)
        yield from _of_work(scrape)
        yield from _of_vaults(scrape)
        yield from _of_host(scrape.vitals.host if scrape.vitals else None)
        yield _verdicts(scrape.lines)
        yield from _of_backups(scrape.moment)
        yield from _newest(scrape.moment)
        yield from _counted(scrape.moment)
        yield from copy_figures(scrape.moment.state)
        yield from _of_hooks(scrape.moment)


def _gauge(told: tuple[str, str], *labels: str) -> GaugeMetricFamily:
    """A family by its name and its help."""
    name, what = told
    return GaugeMetricFamily(f"valkeep_{name}", what, labels=labels)


def _of_daemon(scrape: Scrape) -> Iterator[Metric]:
    state = scrape.moment.state
    build = _gauge(("build_info", "The daemon's version; always 1"), "version")
    build.add_metric([scrape.version], 1)
    yield build
    for name, told, value in (
        ("uptime_seconds", "How long this daemon has been running", scrape.uptime_seconds),
        ("log_position", "Position of the event log's last record", float(state.position)),
        ("log_writable", "1 while the event log can be written", float(scrape.writable)),
        ("caches", "Caches that are registered", float(len(state.caches))),
    ):
        family = _gauge((name, told))
        family.add_metric([], value)
        yield family


def _of_work(scrape: Scrape) -> Iterator[Metric]:
    """Outstanding work by kind; what runs is not told apart from what may start at once."""
    state, now = scrape.moment.state, scrape.moment.now
    counts: dict[tuple[str, str], int] = {}
    for work in outstanding(state):
        kind = type(work).__name__.removesuffix("Work").lower()
        when = "ready" if ready(state, work, now) else "waiting"
        counts[kind, when] = counts.get((kind, when), 0) + 1
    family = _gauge(("work", "Outstanding work; waiting work may not start yet"), "kind", "state")
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)
    yield family


def _of_vaults(scrape: Scrape) -> Iterator[Metric]:
    told = ("vault_faults", "What the vault did not let us do when it was last tried out")
    faults = _gauge(told, "vault")
    for name, url in sorted(scrape.vaults.items()):
        faults.add_metric([name], len(faults_of(scrape.moment.state.vaults, name, url)))
    yield faults
    up = _gauge(("vault_reachable", "1 if the vault answered when it was asked just now"), "vault")
    free = _gauge(("vault_free_bytes", "Room on the disk of a vault in a directory"), "vault")
    for vault, reach in sorted(scrape.vitals.vaults.items() if scrape.vitals else ()):
        up.add_metric([vault], float(reach.failure is None))
        if reach.free_bytes is not None:
            free.add_metric([vault], reach.free_bytes)
    yield up
    yield free
    yield _prices(scrape.moment)


def _of_host(host: HostView | None) -> Iterator[Metric]:
    spool = host.spool if host else None
    known: tuple[tuple[str, str, int | None], ...] = (
        (
            "data_dir_free_bytes",
            "Room on the disk of the event log",
            host.free_bytes if host else None,
        ),
        ("log_bytes", "Size of the event log's files", host.log_bytes if host else None),
        (
            "resident_memory_bytes",
            "Memory that the daemon holds",
            host.memory_bytes if host else None,
        ),
        ("spool_bytes", "Bytes that wait in the spool", spool.taken_bytes if spool else None),
    )
    for name, told, value in known:
        family = _gauge((name, told))
        if value is not None:
            family.add_metric([], value)
        yield family


def _prices(moment: Moment) -> Metric:
    """With the bytes stored it tells what storing costs at present; `valkeep usage` counts it."""
    told = ("vault_storage_price", "What 2^30 bytes stored for a month cost in the vault now")
    family = _gauge(told, "vault", "currency")
    for tariff in moment.state.usage.tariffs[-1:]:
        for name, price in sorted(tariff.vaults.items()):
            family.add_metric([name, tariff.currency or ""], float(price.per_gb_month))
    return family


def _verdicts(lines: tuple[Line, ...]) -> Metric:
    told = ("check_status", "Verdict of `valkeep check`: 0 ok, 1 warning, 2 unknown, 3 critical")
    family = _gauge(told, "rule", "cache")
    worst: dict[tuple[str, str], int] = {}
    for line in lines:
        of = (line.rule, line.cache or "")
        worst[of] = max(worst.get(of, 0), LEVELS.index(line.level))
    for of, level in sorted(worst.items()):
        family.add_metric(of, level)
    return family


def _of_backups(moment: Moment) -> Iterator[Metric]:
    """What exists now, by cache, kind and vault; a copy counts in its own vault."""
    count = _gauge(("backups", "Complete backups that exist"), "cache", "kind")
    size = _gauge(("stored_bytes", "Bytes stored, with copies"), "cache", "kind", "vault")
    for name, of_cache in sorted(moment.state.catalog.items()):
        counts: dict[str, int] = {}
        sizes: dict[tuple[str, VaultName], int] = {}
        for backup in of_cache.values():
            if backup.phase != "complete" or backup.stored is None:
                continue
            counts[backup.kind] = counts.get(backup.kind, 0) + 1
            for vault, stored in _places(backup):
                sizes[backup.kind, vault] = sizes.get((backup.kind, vault), 0) + stored
        for kind, number in sorted(counts.items()):
            count.add_metric([name, kind], number)
        for (kind, vault), stored in sorted(sizes.items()):
            size.add_metric([name, kind, vault], stored)
    yield count
    yield size


def _places(backup: Backup) -> Iterator[tuple[VaultName, int]]:
    stored = backup.stored.stored_bytes if backup.stored else 0
    yield backup.vault, stored
    for copy in backup.copies:
        if copy.phase == "complete":
            yield copy.vault, copy.stored_bytes


_NEWEST: Mapping[str, tuple[str, str]] = {
    "good": ("last_good_timestamp_seconds", "Snapshot of the newest good scheduled backup"),
    "any": ("last_backup_timestamp_seconds", "Snapshot of the newest good backup of any kind"),
    "proven": ("last_proven_timestamp_seconds", "When a backup was last proven"),
    "next": ("next_start_timestamp_seconds", "When the next scheduled backup starts"),
    "took": ("last_backup_duration_seconds", "How long the newest good backup took"),
    "stored": ("last_backup_stored_bytes", "Stored size of the newest good backup"),
    "plain": ("last_backup_rdb_bytes", "RDB size of the newest good backup"),
    "fork": ("last_backup_fork_seconds", "How long the server's child lived for it"),
    "cow": ("last_backup_copy_on_write_bytes", "Memory that was copied while it lived"),
    "restore": ("restore_estimate_seconds", "How long a restore of the newest good backup takes"),
}
"""What is known of a cache's newest backups: name and help; absent where nothing is known."""


def _newest(moment: Moment) -> Iterator[Metric]:
    families = {what: _gauge(told, "cache") for what, told in _NEWEST.items()}
    restores = by_cache(moment.state)
    for name in sorted(moment.state.caches):
        for what, value in _known(moment, name, restores.get(name, [])):
            if value is not None:
                families[what].add_metric([name], value)
    yield from families.values()


def _known(
    moment: Moment, name: CacheName, restores: list[Restore]
) -> Iterator[tuple[str, float | None]]:
    state = moment.state
    known = assurance(state, name, moment.now, restores)
    scheduled, newest = newest_good(state, name, moment.now), known.newest
    yield "good", _instant(taken_at(scheduled)) if scheduled else None
    yield "proven", _instant(known.proven.proof.verified_at) if known.proven else None
    yield "restore", known.guess.seconds if known.guess else None
    start = next_start(moment, state.caches[name])
    yield "next", _instant(start.at) if start else None
    if newest is None:
        return
    yield "any", _instant(taken_at(newest))
    began, ended = newest.attempt_started_at, newest.completed_at
    yield "took", (ended - began).total_seconds() if began and ended else None
    if newest.stored is not None:
        yield "stored", newest.stored.stored_bytes
        yield "plain", newest.stored.plain_bytes
    if newest.snapshot is not None:
        yield "fork", newest.snapshot.fork_seconds
        yield "cow", newest.snapshot.copy_on_write_bytes


def _instant(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _counted(moment: Moment) -> Iterator[Metric]:
    tallies: Map[CacheName, Tally] = moment.state.tallies
    for field, (name, told) in _COUNTERS.items():
        family = CounterMetricFamily(f"valkeep_{name}", told, labels=["cache"])
        for cache in sorted(moment.state.caches):
            family.add_metric([cache], getattr(tallies.get(cache, Tally()), field))
        yield family


def _of_hooks(moment: Moment) -> Iterator[Metric]:
    """How hooks went, those tried by hand included, and what is still to be run."""
    hooks = moment.state.hooks
    ran = CounterMetricFamily("valkeep_hook_runs", "Runs of hooks", labels=["hook", "result"])
    for (name, result), count in sorted(hooks.counts.items()):
        ran.add_metric([name, result], count)
    yield ran
    due = _gauge(("hooks_due", "Runs of hooks after something that are still to come"))
    due.add_metric([], len(hooks.due))
    yield due
