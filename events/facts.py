"""The vocabulary: own scalar types, and values measured outside that events carry.

Knows names and shapes only. It holds no behaviour, so that the floors above, the
Valkey side and the storage side can all speak of the same facts without importing
each other.
"""

from datetime import date, datetime
from typing import Literal, NewType

from msgspec import field

from events.fact import Fact
from events.keyspace import KeyspaceFacts
from events.moves import ImportedFrom, KeysMoved, RestoreMethod

CacheName = NewType("CacheName", str)
"""1 to 64 characters, ``[A-Za-z0-9][A-Za-z0-9_-]*`` (rule C1); names become folders."""
BackupName = NewType("BackupName", str)
"""1 to 100 characters, ``[A-Za-z][A-Za-z0-9._-]*`` (rule M1)."""
BackupId = NewType("BackupId", str)
"""The backup's id: the instant at which it was asked for, and a random part."""
RestoreId = NewType("RestoreId", str)
"""The restore's id."""
VerificationId = NewType("VerificationId", str)
"""The verification's id."""
InstallationId = NewType("InstallationId", str)
"""Which installation: made once, and written into its vaults (S2)."""
VaultName = NewType("VaultName", str)
"""The vault, as the configuration calls it."""
ShardName = NewType("ShardName", str)
"""``0000``, ``0001`` … in slot order; a cache of one shard has ``0000``."""
Stream = NewType("Stream", str)
"""``cache/<name>`` for each cache, and ``installation``."""
Position = NewType("Position", int)
"""Total and dense, from 1; 0 means "before the first record"."""
CommitId = NewType("CommitId", str)

START = Position(0)
INSTALLATION = Stream("installation")
ONLY_SHARD = ShardName("0000")

SourceKind = Literal["auto", "bgsave", "replication"]
NodeChoice = Literal["prefer-replica", "replica", "primary"]
BackupKind = Literal["manual", "auto", "safety"]
VerifyWhen = Literal["always", "daily", "never"]
"""Which auto backups get a receipt: each, the first of a day, none (DESIGN 7)."""
ProofLevel = Literal["hashes", "parsed", "loaded"]
"""How far a stored backup was proven, from the least to the most (DESIGN 7)."""


def cache_stream(cache: CacheName) -> Stream:
    """The stream that holds every event of one cache."""
    return Stream(f"cache/{cache}")


class CacheSettings(Fact, frozen=True):
    """How to reach a cache by its `url`, and where its backups go. Never holds a secret.

    `source` and `node` are wishes: what is used is recorded with each snapshot. The password is in
    the file `password_file` or the variable `password_env`. `tls_ca_file`, `tls_cert_file` and
    `tls_key_file` are absolute paths of the daemon's host (DESIGN 9), `tls_server_name` the name in
    the server's certificate. `copy_to` is a second vault that completed backups are copied to,
    `bandwidth` the most bytes per second that its backups send to their vault, as it is written in
    the configuration (V7).
    """

    url: str
    vault: VaultName
    source: SourceKind = "auto"
    node: NodeChoice = "prefer-replica"
    password_file: str | None = None
    password_env: str | None = None
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_server_name: str | None = None
    copy_to: VaultName | None = None
    bandwidth: str | None = None


class Window(Fact, frozen=True):
    """A daily window (A4): opens at `start`, ``HH:MM`` in the policy's zone, for `minutes`."""

    start: str
    minutes: int


class Policy(Fact, frozen=True, omit_defaults=False):
    """A cache's auto-backup settings; stored whole, so that defaults may change.

    `auto` says whether any are made, `verify` which of them are proven. `retention_days` 1 to 730
    (A2), `retries` 0 to 10 (A3), `timezone` an IANA name (A4), `keep_last` the scheduled backups
    that retention never deletes (A11). A backup whose keys or bytes fell by more than
    `suspect_drop_percent` is suspect; 0 turns that off.
    """

    auto: bool = False
    retention_days: int = 7
    retries: int = 3
    timezone: str = "UTC"
    windows: tuple[Window, ...] = ()
    keep_last: int = 1
    verify: VerifyWhen = "daily"
    suspect_drop_percent: int = 50


class Occurrence(Fact, frozen=True):
    """One day's instance of a window, identified by `day` and `start`; both ends are UTC.

    A start may be at `opens_at`, not at `closes_at`. Equal ends mean that daylight saving left
    the occurrence no time (A8).
    """

    day: date
    start: str
    opens_at: datetime
    closes_at: datetime

    @property
    def key(self) -> tuple[date, str]:
        """What identifies it within its cache."""
        return (self.day, self.start)


class ServerFacts(Fact, frozen=True):
    """What one node said of itself; sizes in bytes, keys by database number.

    Sources: ``INFO``, ``CONFIG GET``, ``MODULE LIST``, ``FUNCTION LIST``, ``ACL LIST``
    (names only). ``unknown`` names what the node refused to tell.

    `engine` and `version` are as it calls itself, `run_id` is another after each start. `role` and
    `replicas` are its place, `replication_id` and `replication_offset` its place in the stream.
    `used_memory_bytes`, `maxmemory_bytes` (0: no limit) and `system_memory_bytes` are of that
    moment, as are `keys` by database; it has so many `databases`. `aof`, `cluster` and `sentinel`
    say what is switched on, or watches it. `modules`, `functions` and `acl_users` are names,
    `settings` those that change what data means or whether it fits (R2).
    """

    engine: Literal["valkey", "redis"]
    version: str
    run_id: str
    role: Literal["primary", "replica"]
    replication_id: str
    replication_offset: int
    replicas: int
    used_memory_bytes: int
    maxmemory_bytes: int
    system_memory_bytes: int
    databases: int
    keys: dict[int, int]
    aof: bool
    cluster: bool
    sentinel: bool = False
    modules: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    acl_users: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


class NodeFacts(Fact, frozen=True):
    """Which node of a cache a snapshot comes from (DESIGN 5), its `role`, and the `reason`.

    `address` is ``HOST:PORT`` or a socket's path; `lag_bytes` is how far a replica was behind
    its primary when it was chosen.
    """

    address: str
    role: Literal["primary", "replica"]
    reason: str
    lag_bytes: int | None = None


class SourceChoice(Fact, frozen=True):
    """Which snapshot `source` will be used, and the `reason` in words."""

    source: Literal["bgsave", "replication"]
    reason: str


class Probe(Fact, frozen=True):
    """What was found when a cache was added or changed (rule C2).

    ``missing_rights`` holds the ``ACL SETUSER`` line that grants them, or nothing. `node` is the
    one that a backup would be taken from now.
    """

    server: ServerFacts
    choice: SourceChoice
    missing_rights: str | None = None
    node: NodeFacts | None = None


class SnapshotFacts(Fact, frozen=True):
    """Facts of one snapshot (DESIGN 5); times in seconds, sizes in bytes.

    ``rdb_created_at`` is the RDB's own ``ctime`` field. ``fork_seconds`` is how long the
    engine's child lived, ``None`` where the engine does not tell. With ``imported`` no server was
    asked: ``server`` is then what the RDB itself tells, and names the rest in ``unknown``.
    ``taken_at`` is the snapshot's instant, which retention counts from. ``source`` was used for
    that ``reason``, and gave an RDB of ``rdb_version``. ``copy_on_write_bytes`` is what the fork
    cost in memory.
    """

    server: ServerFacts
    source: Literal["bgsave", "replication", "import"]
    reason: str
    rdb_version: int
    taken_at: datetime
    rdb_created_at: datetime | None = None
    fork_seconds: float | None = None
    copy_on_write_bytes: int | None = None
    node: NodeFacts | None = None
    imported: ImportedFrom | None = None


class RdbTotals(Fact, frozen=True):
    """What the RDB checker counted in the plain bytes; ``by`` names the engine that read them.

    All ``keys``, those with an expiry (``expires``), and the ``highest_database`` that has any.
    """

    keys: int
    expires: int
    highest_database: int
    by: str


class StoredFacts(Fact, frozen=True):
    """What lies in the vault for one backup; the blocks themselves are in the manifest only.

    ``sha256`` is of the ``plain_bytes`` of the RDB, ``manifest_sha256`` of the manifest as stored,
    both hexadecimal; ``stored_bytes`` lie in so many ``blocks``. ``totals`` is ``None`` where no
    engine could read the bytes, and ``unread`` then says why: that lowers the proof, it
    is no failure. ``recipients`` are the age recipients that it is encrypted to; none means
    that it is not encrypted.
    """

    plain_bytes: int
    stored_bytes: int
    sha256: str
    manifest_sha256: str
    blocks: int
    totals: RdbTotals | None = None
    unread: str | None = None
    recipients: tuple[str, ...] = ()


class Receipt(Fact, frozen=True):
    """Proof that a stored backup was read, parsed or loaded (DESIGN 7); times in seconds.

    It reached that ``level``, of all ``stored_bytes``; ``notes`` are what else is to be known, and
    ``keys_per_database`` what was loaded.
    ``plain_bytes`` are those whose SHA-256 and CRC-64 were found right: 0 where only the stored
    blocks could be checked, for want of an identity. ``keys`` and ``expired`` are what ``engine``
    reports, ``read_seconds`` how long reading took in all, ``load_seconds`` until a private engine
    served the data. ``used_memory_bytes`` is what that engine then used.
    ``reason`` is why the level is not a higher one; a note is no failure. ``keyspace`` is there
    when that engine's keys were counted.
    """

    level: ProofLevel
    stored_bytes: int
    plain_bytes: int
    read_seconds: float
    load_seconds: float | None = None
    engine: str | None = None
    keys: int | None = None
    expired: int | None = None
    keys_per_database: dict[int, int] = field(default_factory=dict)
    reason: str = ""
    notes: tuple[str, ...] = ()
    used_memory_bytes: int | None = None
    keyspace: KeyspaceFacts | None = None


class Failure(Fact, frozen=True):
    """Why something failed: a stable ``code``, a ``message`` for a person, a ``hint`` what to do.

    ``permanent`` failures are not worth another try before somebody changes something.
    """

    code: str
    message: str
    hint: str
    permanent: bool = False


VaultDeed = Literal["open", "write", "read", "list", "upload", "delete", "sweep"]


class VaultFault(Fact, frozen=True):
    """A `deed` that a vault does not let us do, found out by doing it to an object of our own.

    ``open`` is looking whose vault it is; ``upload`` is beginning a multipart upload, and
    ``sweep`` listing unfinished ones and giving them up.
    """

    deed: VaultDeed
    failure: Failure


class TrialFacts(Fact, frozen=True):
    """Whether a restore's target can reach our listener, tried without changing anything.

    `hint` is what to do where it is not the usual thing.
    """

    outcome: Literal["reached", "failed", "not-needed", "not-tried"]
    reason: str = ""
    hint: str = ""


class TargetFacts(Fact, frozen=True):
    """What a restore by replication must know of its target (R2, R4). Never holds a secret.

    `rights` is the ``ACL SETUSER`` line for what our user lacks. `one_time_password` says that
    the target has no ``masterauth`` of its own. `load_mode` is its ``repl-diskless-load``, and
    `drops_rdb` that it deletes received RDB files (``rdb-del-sync-files``). `tls_trial` says that
    the way to us is tried when the restore has begun, which takes ``tls-cluster`` for a moment.
    `aof_rewriting` says that it rewrites its append-only file just now.
    """

    server: ServerFacts
    trial: TrialFacts
    rights: str | None = None
    one_time_password: bool = True
    load_mode: str = "disabled"
    drops_rdb: bool = False
    tls_trial: bool = False
    aof_rewriting: bool = False


FindingLevel = Literal["blocker", "warning"]


class Finding(Fact, frozen=True):
    """One line of a restore plan (rule R2), with the figures that led to it.

    ``code`` and ``level`` are the rule's, ``message`` and ``hint`` for a person. ``forcible`` says
    whether ``--force CODE`` may override a blocker.
    """

    code: str
    level: FindingLevel
    message: str
    hint: str = ""
    forcible: bool = False


class RestorePlan(Fact, frozen=True):
    """What a restore will do to its target, decided before anything is touched (R2).

    ``load_mode`` is the ``repl-diskless-load`` to use. ``clients`` and ``by_hand`` say what
    clients will see, and what to type if our host dies in the middle. ``seconds`` is how long it
    will take, from what ``seconds_basis`` names; ``peak_bytes`` the memory that the target needs
    at most. ``consequences`` are sentences on failure, AOF and replicas. ``keys`` counts what a
    restore by keys (``method``) found, where it looked. The target has ``target_keys`` now;
    ``safety_backup`` says that they are saved first.
    """

    findings: tuple[Finding, ...]
    load_mode: Literal["swapdb", "disabled"]
    safety_backup: bool
    target_keys: int
    clients: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    method: RestoreMethod = "replication"
    seconds: float | None = None
    seconds_basis: str = ""
    peak_bytes: int | None = None
    consequences: tuple[str, ...] = ()
    keys: KeysMoved | None = None


class RestoreResult(Fact, frozen=True):
    """What a completed restore left (R6, R9); ``durability`` is a sentence for a person.

    ``keys`` by database, and the ``evicted_keys`` that did not stay. The data was served after
    ``served_seconds``, all was done after ``total_seconds``. Between safety backup and restore lay
    ``lost_offset_bytes`` of writes, where nothing was frozen. ``warnings`` are to be read.
    ``moved`` counts what a restore by keys did.
    """

    keys: dict[int, int]
    evicted_keys: int
    durability: str
    served_seconds: float
    total_seconds: float
    lost_offset_bytes: int | None = None
    warnings: tuple[str, ...] = ()
    moved: KeysMoved | None = None
