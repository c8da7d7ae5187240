"""Every setting there is, with its default: the shape of the configuration file.

Names are a contract with whoever wrote a file. Holds where secrets are to be found, never
a secret. A cache's section is `CacheSettings` itself, which events carry too; its policy is
read as `PolicyConfig` and kept beside it as the `Policy` that events carry.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from daemon.config.notify import ChannelConfig, NotifyConfig
from events.facts import BackupKind, CacheName, CacheSettings, Policy, VaultName, VerifyWhen
from events.hooks import HookOutcome, HookWhen, OnFailure
from projections.policy import RANGES


class DaemonConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[daemon]``: where the daemon lives, how gentle it is to the servers, and how fast.

    `check_memory` refuses a snapshot whose fork the free memory could not bear.
    """

    socket: str = "/run/valkeep/valkeep.sock"
    data_dir: str = "/var/lib/valkeep"
    max_backups: Annotated[int, Meta(ge=1, le=64)] = 2
    check_memory: bool = True
    bandwidth: str = ""


class RolesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[roles]``: who may do what, as ``user:NAME`` or ``group:NAME`` (DESIGN 8)."""

    admin: tuple[str, ...] = ()
    operator: tuple[str, ...] = ("group:valkeep",)
    viewer: tuple[str, ...] = ()


class VaultConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[vaults.NAME]``: a directory (``file:///path``) or ``s3://bucket/prefix``.

    Without keys the usual AWS chain finds them. ``addressing`` is how S3 requests name the
    bucket; ``auto`` is by path where there is an `endpoint_url`, else by host. With recipients
    what is stored is encrypted to them; reading it takes an identity of one of them. Copies that
    lie there are read back every `verify_copies_days`. From `checksum` on it says how the bucket
    is to keep what is stored, and at last what that costs.
    """

    url: str
    recipients: tuple[str, ...] = ()
    identity_file: str | None = None
    verify_copies_days: Annotated[int, Meta(ge=0, le=365)] = 7
    endpoint_url: str | None = None
    region: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    access_key_id_env: str | None = None
    access_key_id_file: str | None = None
    secret_access_key_env: str | None = None
    secret_access_key_file: str | None = None
    session_token_env: str | None = None
    session_token_file: str | None = None
    tls_ca_file: str | None = None
    checksum: Literal["auto", "md5", "crc32c", "sha256"] = "auto"
    sse: Literal["AES256", "aws:kms"] | None = None
    sse_kms_key_id: str | None = None
    storage_class: str = "STANDARD"
    object_lock: Literal["governance", "compliance"] | None = None
    object_lock_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    price_per_gb_month: str | None = None
    minimum_days: Annotated[int, Meta(ge=0, le=36_500)] | None = None


class ExportConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[exports.NAME]``: a place of the user's own, for plain RDB files; as a vault is said."""

    url: str
    endpoint_url: str | None = None
    region: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    access_key_id_env: str | None = None
    access_key_id_file: str | None = None
    secret_access_key_env: str | None = None
    secret_access_key_file: str | None = None
    session_token_env: str | None = None
    session_token_file: str | None = None
    tls_ca_file: str | None = None
    checksum: Literal["auto", "md5", "crc32c", "sha256"] = "auto"
    sse: Literal["AES256", "aws:kms"] | None = None
    sse_kms_key_id: str | None = None


def _within(setting: str) -> Meta:
    low, high = RANGES[setting]
    return Meta(ge=low, le=high)


class PolicyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[caches.NAME.policy]``: `Policy` as it is written, its windows as texts (A1-A4, A11)."""

    auto: bool = False
    retention_days: Annotated[int, _within("retention_days")] = 7
    retries: Annotated[int, _within("retries")] = 3
    timezone: str = "UTC"
    windows: tuple[str, ...] = ()
    keep_last: Annotated[int, _within("keep_last")] = 1
    verify: VerifyWhen = "daily"
    suspect_drop_percent: Annotated[int, _within("suspect_drop_percent")] = 50


class HookConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[hooks.NAME]``: a command before or after backups and restores (docs/hooks.md).

    `on_failure` is for those before; `run_on` for those after; `kinds` for those of backups.
    """

    when: HookWhen
    command: tuple[str, ...]
    timeout: str = "60s"
    caches: tuple[str, ...] = ("*",)
    on_failure: OnFailure = "stop"
    kinds: tuple[BackupKind, ...] = ("auto", "manual")
    run_on: tuple[HookOutcome, ...] = ("completed", "failed", "cancelled")


class RestoreConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[restore]``: the listener that a restore's target replicates from (DESIGN 7)."""

    bind: str = "0.0.0.0"  # noqa: S104 - it lives only while a restore runs, and wants a password
    advertise: str = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    accept_from: Literal["target", "any"] = "target"
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_ca_file: str | None = None


class EngineConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[engine]``: which private engine may read RDBs, and what it tells of their keys."""

    require_sound: bool = False
    census: Literal["names", "figures", "off"] = "names"
    census_seconds: Annotated[float, Meta(ge=0, le=3_600)] = 3.0


class StorageConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[storage]``: how backups are stored, in every vault."""

    compression_level: Annotated[int, Meta(ge=1, le=19)] = 1


class SpoolConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[spool]``: where bytes wait for a vault that is slower than the server.

    Without a `directory` it is ``spool`` in the `data_dir`; `max_bytes` is a text with a unit.
    """

    directory: str | None = None
    max_bytes: str = "8GiB"


class ImportsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[imports]``: how large an RDB may be that is brought from elsewhere; a text with a unit."""

    max_bytes: str = "1TiB"


class MetricsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[metrics]``: a port on loopback for Prometheus; none without an address."""

    listen: str = ""


class PricesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[prices]``: what the prices of all vaults are in."""

    currency: str | None = None


class TimeoutConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[timeouts]``: when a cache is given up on; a stall is a time without a single byte.

    A whole job is ended that has given no sign of life for `job_stall_seconds`, whatever it was
    waiting for: longer than every other time-out there is.
    """

    connect_seconds: Annotated[float, Meta(ge=0.1, le=600)] = 10
    stall_seconds: Annotated[float, Meta(ge=1, le=3600)] = 60
    job_stall_seconds: Annotated[float, Meta(ge=5, le=86400)] = 900


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole configuration file, checked; every cache names the vault that it uses.

    `policies` has those caches whose section has a policy; it is no section of its own.
    """

    vaults: Mapping[VaultName, VaultConfig]
    caches: Mapping[CacheName, CacheSettings] = {}
    policies: Mapping[CacheName, Policy] = {}
    exports: Mapping[str, ExportConfig] = {}
    hooks: Mapping[str, HookConfig] = {}
    channels: Mapping[str, ChannelConfig] = {}
    daemon: DaemonConfig = DaemonConfig()
    roles: RolesConfig = RolesConfig()
    restore: RestoreConfig = RestoreConfig()
    engine: EngineConfig = EngineConfig()
    storage: StorageConfig = StorageConfig()
    spool: SpoolConfig = SpoolConfig()
    timeouts: TimeoutConfig = TimeoutConfig()
    imports: ImportsConfig = ImportsConfig()
    metrics: MetricsConfig = MetricsConfig()
    notify: NotifyConfig = NotifyConfig()
    prices: PricesConfig = PricesConfig()


def default_config(*, data_home: Path, runtime_dir: Path, state_home: Path) -> Config:
    """What holds without a file and without root: the user's own folders, a directory vault.

    The three are the absolute folders that XDG calls so; nobody but that user gets in.
    """
    return Config(
        vaults={
            VaultName("main"): VaultConfig(url=(data_home / "valkeep" / "backups").as_uri()),
        },
        daemon=DaemonConfig(
            socket=str(runtime_dir / "valkeep" / "valkeep.sock"),
            data_dir=str(state_home / "valkeep"),
        ),
        roles=RolesConfig(operator=()),
    )
