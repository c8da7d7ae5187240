"""From a cache command to the settings that will be recorded: pure, and strict with paths.

Files and variables that hold a password, and the files of TLS, are only named here; nobody
reads them.
"""

import re

from msgspec import structs

from daemon.api.find import cache_named
from daemon.commands import AddCache, SetCache
from daemon.errors import BadRequest, NotFound
from daemon.near import meant
from daemon.rates import ALLOWED, BadRate, rate
from events.facts import CacheSettings, VaultName
from projections.state import State

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_TLS_SCHEMES = frozenset({"valkeys", "rediss"})
_TLS_FILES = ("tls_ca_file", "tls_cert_file", "tls_key_file")
_TLS_NAME = re.compile(r"[A-Za-z0-9:]([A-Za-z0-9._:-]{0,251}[A-Za-z0-9])?", re.ASCII)


def settings_for(
    state: State, request: AddCache | SetCache, vaults: tuple[VaultName, ...]
) -> CacheSettings:
    """The settings that a command leads to; raises `BadRequest` or `NotFound` with a hint."""
    if isinstance(request, SetCache):
        settings = _changed(cache_named(state, request.name).settings, request, vaults)
    else:
        settings = CacheSettings(
            url=request.url,
            vault=_vault(request.vault, vaults),
            copy_to=_copy_to(request.copy_to, vaults),
            source=request.source,
            node=request.node,
            password_file=request.password_file or None,
            password_env=request.password_env or None,
            tls_ca_file=request.tls_ca_file or None,
            tls_cert_file=request.tls_cert_file or None,
            tls_key_file=request.tls_key_file or None,
            tls_server_name=request.tls_server_name or None,
            bandwidth=request.bandwidth or None,
        )
    _check_copy_to(settings)
    _check_password(settings)
    _check_tls(settings)
    return structs.replace(settings, bandwidth=_limit(settings.bandwidth))


def provisional(request: AddCache | SetCache) -> CacheSettings:
    """Settings for a command that was answered before: they are never decided on (L4)."""
    return CacheSettings(url=request.url or "", vault=VaultName(request.vault or ""))


def _changed(old: CacheSettings, request: SetCache, vaults: tuple[VaultName, ...]) -> CacheSettings:
    """What is null stays; an empty text takes the setting away.

    Naming one home of the password lets go of the other: there is only one password.
    """
    password_file = _or(request.password_file, old=old.password_file)
    password_env = _or(request.password_env, old=old.password_env)
    if request.password_file and request.password_env is None:
        password_env = None
    if request.password_env and request.password_file is None:
        password_file = None
    return CacheSettings(
        url=request.url or old.url,
        vault=old.vault if request.vault is None else _vault(request.vault, vaults),
        copy_to=old.copy_to if request.copy_to is None else _copy_to(request.copy_to, vaults),
        source=request.source or old.source,
        node=request.node or old.node,
        password_file=password_file,
        password_env=password_env,
        tls_ca_file=_or(request.tls_ca_file, old=old.tls_ca_file),
        tls_cert_file=_or(request.tls_cert_file, old=old.tls_cert_file),
        tls_key_file=_or(request.tls_key_file, old=old.tls_key_file),
        tls_server_name=_or(request.tls_server_name, old=old.tls_server_name),
        bandwidth=_or(request.bandwidth, old=old.bandwidth),
    )


def _or(new: str | None, *, old: str | None) -> str | None:
    return old if new is None else new or None


def _copy_to(name: str | None, vaults: tuple[VaultName, ...]) -> VaultName | None:
    """The second vault; an empty text is none."""
    return _vault(name, vaults) if name else None


def _check_copy_to(settings: CacheSettings) -> None:
    if settings.copy_to is not None and settings.copy_to == settings.vault:
        raise BadRequest(
            "copy-to",
            f"The copies would go to {settings.copy_to!r}, where the backups themselves are.",
            "Name another vault with --copy-to, or say --copy-to none.",
        )


def _vault(name: str | None, vaults: tuple[VaultName, ...]) -> VaultName:
    known = ", ".join(sorted(vaults))
    if name is None and len(vaults) == 1:
        return vaults[0]
    if name is None:
        raise BadRequest(
            "vault",
            f"There are {len(vaults)} vaults, and none is named.",
            f"Say which: --vault NAME. There are: {known}.",
        )
    if name not in vaults:
        hint = f"Vaults are named in the daemon's configuration: {known}."
        raise NotFound("unknown-vault", f"There is no vault {name!r}.", meant(name, vaults) or hint)
    return VaultName(name)


def _check_password(settings: CacheSettings) -> None:
    """Where the password is; a value that looks like none of it is never shown."""
    if settings.password_file and settings.password_env:
        raise BadRequest(
            "password",
            "Both a file and an environment variable are named for one password.",
            "Name one of them.",
        )
    if settings.password_file is not None and not _absolute(settings.password_file):
        raise BadRequest(
            "password-file",
            "The password file is not named by an absolute path.",
            "The daemon reads it: give the whole path of a file on its host.",
        )
    if settings.password_env is not None and not _VARIABLE.fullmatch(settings.password_env):
        raise BadRequest(
            "password-env",
            "That is not the name of an environment variable (it is not shown).",
            "Give the name of a variable of the daemon, not the password.",
        )


def _check_tls(settings: CacheSettings) -> None:
    """What TLS is spoken with: only where the URL asks for it, and a whole pair."""
    named = [name for name in (*_TLS_FILES, "tls_server_name") if getattr(settings, name)]
    if named and settings.url.partition("://")[0].lower() not in _TLS_SCHEMES:
        raise BadRequest(
            "tls",
            f"{named[0]} is set, and the cache's URL does not ask for TLS.",
            "Write valkeys:// in the URL, or take the setting away with an empty text.",
        )
    for name in _TLS_FILES:
        path = getattr(settings, name)
        if path is not None and not _absolute(path):
            raise BadRequest(
                "tls-file",
                f"{name} is not named by an absolute path.",
                "The daemon reads it: give the whole path of a file on its host.",
            )
    if (settings.tls_cert_file is None) != (settings.tls_key_file is None):
        raise BadRequest(
            "tls",
            f"{'tls_cert_file' if settings.tls_cert_file else 'tls_key_file'} is set alone.",
            "A certificate and its key belong together: set both, or neither.",
        )
    if settings.tls_server_name and not _TLS_NAME.fullmatch(settings.tls_server_name):
        raise BadRequest(
            "tls",
            "tls_server_name is not a host name or an IP address.",
            "Give a name that stands in the server's certificate, without a port.",
        )


def _limit(bandwidth: str | None) -> str | None:
    """The limit as it was written; None where it says that there is none."""
    try:
        return bandwidth if rate(bandwidth) is not None else None
    except BadRate as error:
        raise BadRequest("bandwidth", f"{bandwidth!r} {error}.", f"Give {ALLOWED}.") from None


def _absolute(path: str) -> bool:
    return path.startswith("/") and ".." not in path.split("/") and "\0" not in path
