"""The vaults, the daemon and its host, as `valkeep status` tells of them. Pure."""

from collections.abc import Iterator

from daemon.answers import Status, VaultView
from daemon.answers.standing import EngineView, HostView, SpoolView, StateView
from daemon.cli.table import Column, facts, table
from daemon.cli.words import duration, instant, size

VAULTS = (
    Column("VAULT"),
    Column("ANSWERS"),
    Column("BACKUPS", right=True),
    Column("STORED", right=True),
    Column("FREE", rank=1),
    Column("URL", rank=2),
)


def vault_lines(found: Status, width: int) -> Iterator[str]:
    """A table of the configured vaults."""
    rows = [
        (v.name, _answers(v), _held(v), size(v.stored_bytes), _free(v), v.url) for v in found.vaults
    ]
    yield from table(VAULTS, rows, width)


def _answers(view: VaultView) -> str:
    if view.reach is None:
        return "-"
    return "yes" if view.reach.failure is None else "NO"


def _held(view: VaultView) -> str:
    copied = "1 copy" if view.copies == 1 else f"{view.copies:,} copies"
    return f"{view.backups:,} + {copied}" if view.copies else f"{view.backups:,}"


def _free(view: VaultView) -> str:
    reach = view.reach
    if reach is None or reach.free_bytes is None:
        return "-"
    return f"{size(reach.free_bytes)} of {size(reach.total_bytes)}"


def host_lines(found: Status, width: int) -> Iterator[str]:
    """The daemon, its log, and what it needs of its host."""
    host = found.host
    pairs = [("daemon", _daemon(found)), ("log", _log(found))]
    if host is not None:
        pairs += [("started", _started(host.state))] if host.state else []
        pairs += [
            ("worker", _worker(host)),
            ("spool", _spool(host.spool)),
            ("engine", _engine(host.engine)),
            ("metrics", _metrics(host)),
        ]
    pairs += [("clock", instant(found.now)), ("you", found.your_role)]
    yield from facts(pairs, width=width)


def _daemon(found: Status) -> str:
    told = f"valkeep {found.version}, up {duration(found.uptime_seconds)}"
    if found.host is not None:
        told = f"{told}, process {found.host.pid}, {size(found.host.memory_bytes)} of memory"
    return told


def _log(found: Status) -> str:
    told = "NOT WRITABLE" if found.log.trouble else "writable"
    told = f"{told}, position {found.log.position:,}"
    host = found.host
    if host is None:
        return told
    if host.unmeasured:
        return f"{told}; its disk ({host.data_dir}): {host.unmeasured}"
    free = f"{size(host.free_bytes)} of {size(host.total_bytes)} free"
    return f"{told}, {size(host.log_bytes)}; {free} in {host.data_dir}"


def _started(state: StateView) -> str:
    """What the daemon folded its state from, and what is known of the part that it did not read."""
    records = f"{state.records:,} {'record' if state.records == 1 else 'records'}"
    if not state.position:
        told = f"from all {records} of its log in {state.seconds:.1f} s"
        unused = f"; the state that was kept was not used: {state.unused}" if state.unused else ""
        return f"{told}{unused}{_unkept(state)}"
    told = f"from the state at {state.position:,} and {records} after it in {state.seconds:.1f} s"
    if state.checked >= state.position:
        return f"{told}; those before it are whole{_unkept(state)}"
    return f"{told}; {state.checked:,} of those before it checked so far{_unkept(state)}"


def _unkept(state: StateView) -> str:
    return f"; its state CANNOT BE KEPT: {state.unkept}" if state.unkept else ""


def _worker(host: HostView) -> str:
    seconds = host.looked_seconds
    told = "has not begun yet" if seconds is None else f"looked for work {duration(seconds)} ago"
    if host.watchdog_seconds is None:
        return f"{told}; no watchdog"
    return f"{told}; the watchdog ends a stuck one after {duration(host.watchdog_seconds)}"


def _spool(spool: SpoolView | None) -> str:
    if spool is None:
        return "none"
    taken = f"{size(spool.taken_bytes)} in it" if spool.taken_bytes else "empty"
    return f"{taken}, {size(spool.max_bytes)} at most, {size(spool.free_bytes)} free on its disk"


def _engine(engine: EngineView | None) -> str:
    if engine is None:
        return "none: backups are proven by hashes alone (`valkeep doctor` says how to get one)"
    doubt = "" if engine.sound else "; import no files of strangers with it"
    where = "from the wheel" if engine.origin == "wheel" else engine.server
    return f"{engine.label}, {where}{doubt}"


def _metrics(host: HostView) -> str:
    port = host.metrics
    if port is None:
        return "on the socket only"
    if port.failure is not None:
        return f"NOT on {port.listen}: {port.failure.message}"
    return f"http://{port.listen}/metrics"
