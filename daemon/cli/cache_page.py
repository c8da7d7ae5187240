"""One cache on one page, and what a look at it found (C2)."""

from collections.abc import Iterator

from daemon.answers import CacheDetail
from daemon.answers.policy import PolicyView
from daemon.cli.table import facts
from daemon.cli.words import age, instant, plural, size
from events.facts import CacheSettings, NodeFacts, Probe


def page(detail: CacheDetail, policy: PolicyView | None, width: int) -> Iterator[str]:
    """The lines of the page; the policy in one of them."""
    view = detail.cache
    settings, newest = view.settings, view.newest
    by = "declared in the configuration" if view.declared else "added by command"
    yield view.name
    pairs = [
        ("url", settings.url),
        ("vault", settings.vault),
        ("copies", settings.copy_to or ""),
        ("source", settings.source),
        ("node", settings.node),
        ("password", _password(file=settings.password_file, variable=settings.password_env)),
        ("TLS", _tls(settings)),
        ("bandwidth", settings.bandwidth or ""),
        ("suspended", view.suspended or ""),
        ("since", f"{instant(view.added_at)}, {by}"),
        ("policy", _policy(policy) if policy else ""),
        ("backups", f"{plural(view.backups, 'backup')}, {size(view.stored_bytes)} stored"),
        ("newest", f"{newest.name}, {age(detail.now, newest.taken_at)}" if newest else "none"),
    ]
    yield from facts(pairs, indent="  ", width=width)
    if view.failed is not None and view.failed.failure is not None:
        yield f"  the last one failed: {view.failed.name}: {view.failed.failure.message}"
        yield f"    hint: {view.failed.failure.hint}"
    if view.probe is None:
        yield "It has not been looked at yet."
    else:
        yield f"looked at {age(detail.now, view.probed_at)}"
        yield from found_lines(view.probe, width, indent="  ")


def _policy(view: PolicyView) -> str:
    settings = view.settings
    if not settings.auto:
        return "auto backups are off"
    windows = ", ".join(settings.windows) or "no window"
    kept = f"kept for {plural(settings.retention_days, 'day')}"
    see = f"`valkeep policy show {view.cache}`"
    return f"auto backups in {windows} ({settings.timezone}), {kept}: {see}"


def _password(*, file: str | None, variable: str | None) -> str:
    if file:
        return f"in the file {file}"
    return f"in the daemon's environment, {variable}" if variable else "none"


def _tls(settings: CacheSettings) -> str:
    """How TLS is spoken; nothing where it is not."""
    if not settings.url.lower().startswith(("valkeys:", "rediss:")):
        return ""
    told = [f"signed by {settings.tls_ca_file or 'whom the system trusts'}"]
    if settings.tls_server_name:
        told.append(f"for {settings.tls_server_name}")
    if settings.tls_cert_file:
        told.append(f"we show {settings.tls_cert_file} (key: {settings.tls_key_file})")
    return ", ".join(told)


def _node(node: NodeFacts | None) -> str:
    """Which node a backup would be taken from now, and why."""
    return "" if node is None else f"the {node.role} {node.address}: {node.reason}"


def found_lines(probe: Probe, width: int, *, indent: str = "") -> Iterator[str]:
    """What a look at a cache found."""
    server, choice = probe.server, probe.choice
    keys = sum(server.keys.values())
    memory = size(server.used_memory_bytes)
    pairs = [
        ("engine", f"{server.engine} {server.version}"),
        ("role", f"{server.role}, {plural(server.replicas, 'replica')}"),
        ("holds", f"{plural(keys, 'key')}, {memory}"),
        ("taken from", _node(probe.node)),
        ("source", f"{choice.source}: {choice.reason}"),
        ("cluster", "yes: clusters are not backed up yet" if server.cluster else ""),
        ("sentinel", "yes" if server.sentinel else ""),
        ("modules", ", ".join(server.modules)),
        ("not told", ", ".join(server.unknown)),
    ]
    yield from facts(pairs, indent=indent, width=width)
    if probe.missing_rights:
        yield f"{indent}Rights are missing. This grants them:"
        yield f"{indent}  {probe.missing_rights}"
