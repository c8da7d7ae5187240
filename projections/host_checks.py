"""What was measured around the log, judged: room on disks, vaults that do not answer, the port.

Pure; the measuring is done elsewhere. There is a line only for what is not as it should be.
"""

from collections.abc import Iterator, Mapping

from events.facts import Failure, VaultName
from projections.checks import Level, Line
from projections.local import one_line
from projections.state import State
from projections.vaults import faults_of

LITTLE_BYTES = 1 << 30
TOO_LITTLE_BYTES = 64 << 20
"""A log that cannot grow stops everything, and a vault that is full takes no backup."""


def _grade(free_bytes: int) -> Level:
    if free_bytes < TOO_LITTLE_BYTES:
        return "critical"
    return "warning" if free_bytes < LITTLE_BYTES else "ok"


def room_lines(data_dir: str, free_bytes: int | None) -> Iterator[Line]:
    """The disk of the event log."""
    if free_bytes is None:
        return
    level = _grade(free_bytes)
    if level != "ok":
        told = f"the disk of data_dir {data_dir} has {_mib(free_bytes)} left"
        hint = "Make room there, or move data_dir: without room nothing is recorded, or begun."
        yield Line(
            level, "disk", told, hint, None, "disk-full" if level == "critical" else "disk-low"
        )


def unmeasured(data_dir: str, *, why: str) -> Line:
    """The disk of the event log cannot even be asked."""
    told = f"the disk of data_dir {data_dir} cannot be looked at: {one_line(why)}"
    hint = "Look at that disk or mount (`dmesg`, `mount`): the event log is on it."
    return Line("critical", "disk", told, hint, None, "disk-hangs")


def vault_room(name: VaultName, free_bytes: int | None) -> Iterator[Line]:
    """The disk of a vault that is a directory."""
    if free_bytes is None:
        return
    level = _grade(free_bytes)
    if level != "ok":
        told = f"vault {name}: its disk has {_mib(free_bytes)} left"
        hint = (
            "Make room there, give the vault a larger disk, or keep less: `valkeep retention "
            "simulate CACHE --days 30` shows what goes when."
        )
        yield Line(
            level,
            "vault-room",
            told,
            hint,
            None,
            "vault-full" if level == "critical" else "vault-low",
            name,
        )


def vault_silent(
    state: State, vaults: Mapping[VaultName, str], name: VaultName, failure: Failure
) -> Iterator[Line]:
    """A vault that does not answer now; what its last trial has found says more.

    One that will not answer by itself again takes no backup until somebody has acted.
    """
    if faults_of(state.vaults, name, vaults.get(name, "")):
        return
    told = f"vault {name} cannot be reached: {one_line(failure.message)}"
    hint = f"{failure.hint.rstrip('.')}. `valkeep doctor` tries it again."
    level: Level = "critical" if failure.permanent else "warning"
    yield Line(level, "vault", told, hint, None, failure.code, f"{name}/now")


def port_lines(listen: str, failure: Failure | None) -> Iterator[Line]:
    """The port that metrics are asked for on."""
    if failure is not None:
        told = f"metrics cannot be had on {listen}: {one_line(failure.message)}"
        yield Line("warning", "metrics", told, failure.hint, None, failure.code)


def not_taken_over(failure: Failure | None) -> Iterator[Line]:
    """The configuration file that a reload has refused; its first line says how much is wrong."""
    if failure is not None:
        why = one_line(failure.message.partition("\n")[0]).rstrip(":")
        told = (
            f"the configuration was read again and not taken over: {why}; the one from before "
            "holds, and a restart may fail"
        )
        yield Line("warning", "configuration", told, failure.hint, None, failure.code)


def _mib(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MiB"
