"""What people may ask for over the socket, each as a tagged object."""

from msgspec import Struct

from daemon.commands.alarms import TestNotifications
from daemon.commands.compared import CancelComparison, RequestComparison
from events.facts import (
    NodeChoice,
    SourceKind,
    VerifyWhen,
)
from events.moves import KeysWish, RestoreMethod


class PolicyChange(Struct, frozen=True, forbid_unknown_fields=True):
    """New values for settings of a policy; what is null stays as it is.

    `windows` replaces all windows, each ``HH:MM+LENGTH``; an empty list takes them away.
    """

    auto: bool | None = None
    retention_days: int | None = None
    retries: int | None = None
    timezone: str | None = None
    windows: tuple[str, ...] | None = None
    keep_last: int | None = None
    suspect_drop_percent: int | None = None
    verify: VerifyWhen | None = None


class AddCache(Struct, frozen=True, forbid_unknown_fields=True, tag="add-cache"):
    """Put a cache under backup as `name`; it is probed at once unless `probe` is false (C2)."""

    name: str
    url: str
    vault: str | None = None
    copy_to: str | None = None
    source: SourceKind = "auto"
    node: NodeChoice = "prefer-replica"
    password_file: str | None = None
    password_env: str | None = None
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_server_name: str | None = None
    bandwidth: str | None = None
    probe: bool = True
    policy: PolicyChange | None = None


class SetCache(Struct, frozen=True, forbid_unknown_fields=True, tag="set-cache"):
    """Change the settings of the cache `name`; what is null stays as it is.

    An empty `copy_to`, `password_file`, `password_env`, `tls_…` or `bandwidth` takes the setting
    away. Without `probe` nobody looks at the cache.
    """

    name: str
    url: str | None = None
    vault: str | None = None
    copy_to: str | None = None
    source: SourceKind | None = None
    node: NodeChoice | None = None
    password_file: str | None = None
    password_env: str | None = None
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_server_name: str | None = None
    bandwidth: str | None = None
    probe: bool = True
    policy: PolicyChange | None = None


class SetPolicy(Struct, frozen=True, forbid_unknown_fields=True, tag="set-policy"):
    """Change the auto-backup settings (`policy`) of a `cache` (A1-A4, A11)."""

    cache: str
    policy: PolicyChange


class RemoveCache(Struct, frozen=True, forbid_unknown_fields=True, tag="remove-cache"):
    """Remove the cache of that `name`: its auto backups are deleted, manual ones stay (A10, M2)."""

    name: str


class RequestBackup(Struct, frozen=True, forbid_unknown_fields=True, tag="request-backup"):
    """Make a manual backup of a `cache` under a `name` (M1)."""

    cache: str
    name: str


class RequestAutoBackup(Struct, frozen=True, forbid_unknown_fields=True, tag="request-auto-backup"):
    """Make an auto backup of a `cache` now, by its policy (A5b)."""

    cache: str


class DeleteBackup(Struct, frozen=True, forbid_unknown_fields=True, tag="delete-backup"):
    """Delete a `backup`, given by id, unique prefix of one, or ``CACHE/NAME``."""

    backup: str


class CancelBackup(Struct, frozen=True, forbid_unknown_fields=True, tag="cancel-backup"):
    """End a `backup` that waits or is being made; by id, prefix of one, or ``CACHE/NAME``."""

    backup: str


class RequestCopy(Struct, frozen=True, forbid_unknown_fields=True, tag="request-copy"):
    """Copy a `backup` into another vault: `to`, or where its cache's `copy_to` says."""

    backup: str
    to: str | None = None


class AcknowledgeBackup(Struct, frozen=True, forbid_unknown_fields=True, tag="acknowledge-backup"):
    """Say that a suspect `backup` is as it should be: it counts as good from now on."""

    backup: str


class RequestRestore(Struct, frozen=True, forbid_unknown_fields=True, tag="request-restore"):
    """Restore a `backup` into a running cache, `to`; without `safety_backup` none is made first.

    `replace` allows a target that holds keys (R3); `force` names blockers to override (R2).
    `vault` has a copy of the backup to read from; null is the backup's own. `keys` says which
    keys go over, and how, by the `method` ``keys``.
    """

    backup: str
    to: str
    replace: bool = False
    safety_backup: bool = True
    force: tuple[str, ...] = ()
    vault: str | None = None
    method: RestoreMethod = "replication"
    keys: KeysWish | None = None


class UndoRestore(Struct, frozen=True, forbid_unknown_fields=True, tag="undo-restore"):
    """Bring back what the newest restore into a `cache` replaced: its safety backup (R7).

    `restore_id` is that restore, as the caller has seen it; with another one since, it is refused.
    `replace`, `force` and `vault` are those of a restore; null as `method` is the one that was
    used then.
    """

    cache: str
    restore_id: str | None = None
    replace: bool = False
    force: tuple[str, ...] = ()
    vault: str | None = None
    method: RestoreMethod | None = None


class RequestExport(Struct, frozen=True, forbid_unknown_fields=True, tag="request-export"):
    """Write plain RDB files of a `backup` to `destination` (S4).

    That is ``s3://…`` or ``file:///…``, or ``NAME`` or ``NAME/FOLDER`` of an ``[exports]`` entry.
    `vault` has a copy of the backup to read from; null is the backup's own. `entry` names the
    ``[exports]`` entry whose keys are used with a URL. `replace` overwrites a file of that name.
    """

    backup: str
    destination: str
    vault: str | None = None
    entry: str | None = None
    replace: bool = False


class RequestImport(Struct, frozen=True, forbid_unknown_fields=True, tag="request-import"):
    """Keep an RDB that the daemon can reach as a manual backup of a `cache` (S4).

    `source` is ``s3://BUCKET/KEY``, ``file:///PATH`` on the daemon's host, or ``ENTRY/KEY`` below
    an ``[exports]`` entry. Without a `name` it gets one by itself.
    """

    cache: str
    source: str
    name: str | None = None


class RequestVerification(
    Struct, frozen=True, forbid_unknown_fields=True, tag="request-verification"
):
    """Prove a `backup` as far as can be; `quick` stops at the hashes.

    `vault` has a copy of the backup to prove; null is the backup's own.
    """

    backup: str
    quick: bool = False
    vault: str | None = None


Request = (
    AddCache
    | SetCache
    | SetPolicy
    | RemoveCache
    | RequestBackup
    | RequestAutoBackup
    | DeleteBackup
    | CancelBackup
    | RequestCopy
    | AcknowledgeBackup
    | RequestRestore
    | UndoRestore
    | RequestExport
    | RequestImport
    | RequestVerification
    | RequestComparison
    | CancelComparison
    | TestNotifications
)
