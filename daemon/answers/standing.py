"""What `valkeep status` tells beside backups: other work, failures, the host and its vaults.

Plain shapes; sizes are bytes. What is null or empty may be left out.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from daemon.answers.progress import ProgressView
from events.facts import Failure

Level = Literal["ok", "warning", "unknown", "critical"]
WorkKind = Literal["verification", "copy", "comparison", "deletion", "copy-deletion", "sweep"]


class WorkView(Struct, frozen=True, omit_defaults=True):
    """Outstanding work that is no backup, restore or export; `what` names it for a person.

    `failure` is why its last try came to nothing. Without `progress` nobody works on it now.
    """

    kind: WorkKind
    what: str
    cache: str
    backup_id: str
    wanted_since: datetime | None = None
    vault: str | None = None
    comparison_id: str | None = None
    waits_for: str | None = None
    retry_at: datetime | None = None
    failure: Failure | None = None
    progress: ProgressView | None = None


class FailureView(Struct, frozen=True, omit_defaults=True):
    """What went wrong last with a cache's backups; `since` is the first good one after it."""

    at: datetime
    what: str
    why: str
    hint: str = ""
    code: str = ""
    backup_id: str | None = None
    since: str | None = None
    since_at: datetime | None = None


class ReachView(Struct, frozen=True, omit_defaults=True):
    """Whether a vault answered when it was asked at `at`; room is known of directories only."""

    at: datetime
    failure: Failure | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None


class EngineView(Struct, frozen=True, omit_defaults=True):
    """The private engine that is used; not `sound`: a file that a stranger made could harm it."""

    label: str
    server: str
    origin: str
    sound: bool


class SpoolView(Struct, frozen=True, omit_defaults=True):
    """Where bytes wait for a slow vault, and how many there are now."""

    folder: str
    max_bytes: int
    taken_bytes: int = 0
    free_bytes: int | None = None


class PortView(Struct, frozen=True, omit_defaults=True):
    """Where metrics are asked for over TCP; `failure` says why they cannot be, if they cannot."""

    listen: str
    failure: Failure | None = None


class StateView(Struct, frozen=True, omit_defaults=True):
    """What the daemon began with: the state that was kept at `position`, and `records` after it.

    Position 0 is none, so all were read; `unused` is why one that was there was not used. Of the
    part before it, which was not read at the start, `checked` records were checked since. The
    newest state that is kept is of position `kept`; `unkept` is why no newer one could be.
    """

    position: int
    records: int
    seconds: float
    unused: str = ""
    checked: int = 0
    kept: int = 0
    unkept: str = ""


class HostView(Struct, frozen=True, omit_defaults=True):
    """The daemon and its host as they were at `at`.

    `looked_seconds` ago the worker looked for work; a watchdog that hears nothing for
    `watchdog_seconds` has the daemon started again. `unmeasured` says why the disk of `data_dir`
    could not be looked at. `state` is what the daemon began with. `configuration` is why the file
    was not taken over when it was read again (SIGHUP).
    """

    at: datetime
    pid: int
    data_dir: str
    memory_bytes: int | None = None
    log_bytes: int | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    unmeasured: str = ""
    watchdog_seconds: float | None = None
    looked_seconds: float | None = None
    engine: EngineView | None = None
    spool: SpoolView | None = None
    metrics: PortView | None = None
    state: StateView | None = None
    configuration: Failure | None = None


class Vitals(Struct, frozen=True):
    """All that was measured, the vaults by their names."""

    host: HostView
    vaults: dict[str, ReachView]
