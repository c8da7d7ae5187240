"""What settings must be together: one vault at least, both halves of a key, and the like.

Pure, and looks at a document that may be wrong in other ways: whatever has not the form
that it needs is passed over here, because it is told elsewhere.
"""

from collections.abc import Iterator, Mapping

from daemon.config.buckets import of_bucket, outlived
from daemon.config.copies import second_vault
from daemon.config.exports import inside_vaults
from daemon.config.hooks import of_hooks
from daemon.config.lines import Place
from daemon.config.notify import of_channels, of_notify
from daemon.config.prices import of_prices
from daemon.config.problem import Wrong, near_miss
from daemon.config.rules import told
from daemon.config.settings import VaultConfig
from projections.policy import window_unfit, windows_unfit

Table = Mapping[str, object]
Found = Iterator[tuple[Place, Wrong]]

_S3_ONLY = frozenset(VaultConfig.__struct_fields__) - {
    *("url", "recipients", "identity_file", "verify_copies_days", "price_per_gb_month"),
    "minimum_days",
}
_NO_VAULT = Wrong(
    "there is no vault, so backups have nowhere to go",
    'Add one: [vaults.main] with url = "file:///var/backups/valkeep".',
)


def contradictions(document: Table) -> Found:
    """Everything that settings have against each other, with the place to correct it."""
    vaults = sections(document, "vaults")
    if not vaults:
        yield ("vaults",), _NO_VAULT
    yield from _shared_places(vaults)
    yield from of_prices(document, vaults)
    for name, vault in vaults.items():
        for own, wrong in _of_vault(vault):
            yield ("vaults", name, *own), wrong
    yield from _of_exports(sections(document, "exports"), vaults=vaults)
    caches = sections(document, "caches")
    yield from outlived(vaults, caches=caches)
    yield from _of_spool(document.get("spool"), vaults)
    yield from of_channels(sections(document, "channels"))
    yield from of_notify(sections({"": document}, "").get("notify", {}))
    restore = document.get("restore")
    if isinstance(restore, dict):
        for own, wrong in _of_restore(restore):
            yield ("restore", *own), wrong
    yield from of_hooks(sections(document, "hooks"))
    for name, cache in caches.items():
        for own, wrong in _of_cache(cache, vaults):
            yield ("caches", name, *own), wrong
        policy = cache.get("policy")
        if isinstance(policy, dict):
            for own, wrong in _of_policy(policy):
                yield ("caches", name, "policy", *own), wrong


def with_vaults(document: Table) -> Table:
    """A document without contradictions, in which each cache names the vault that it uses.

    Without policies: they are kept elsewhere.
    """
    only = next(iter(sections(document, "vaults")))
    caches = {
        name: {"vault": only, **{own: cache[own] for own in cache if own != "policy"}}
        for name, cache in sections(document, "caches").items()
    }
    return {**document, "caches": caches}


def sections(document: Table, kind: str) -> Mapping[str, Table]:
    """The named sections of one kind, those that are sections at all."""
    named = document.get(kind)
    if not isinstance(named, dict):
        return {}
    return {name: section for name, section in named.items() if isinstance(section, dict)}


def _of_exports(exports: Mapping[str, Table], *, vaults: Mapping[str, Table]) -> Found:
    for name, export in exports.items():
        for own, wrong in _of_vault(export):
            yield ("exports", name, *own), wrong
    yield from inside_vaults(exports, vaults=vaults)


def _shared_places(vaults: Mapping[str, Table]) -> Found:
    """Two vaults in one place would take each other's backups for their own."""
    owners: dict[tuple[str, str], str] = {}
    for name, vault in vaults.items():
        url = vault.get("url")
        if not isinstance(url, str):
            continue
        owner = owners.setdefault((url.rstrip("/"), str(vault.get("endpoint_url"))), name)
        if owner != name:
            wrong = Wrong(f"is the same place as vaults.{owner}", "Allowed: a place of its own.")
            yield ("vaults", name, "url"), wrong


def _of_spool(spool: object, vaults: Mapping[str, Table]) -> Found:
    """In a vault's folder its files would be taken for objects that nobody knows."""
    directory = spool.get("directory") if isinstance(spool, dict) else None
    if not isinstance(directory, str):
        return
    for name, vault in vaults.items():
        folder = str(vault.get("url", "")).removeprefix("file://").rstrip("/")
        if folder.startswith("/") and f"{directory}/".startswith(f"{folder}/"):
            place = ("spool", "directory")
            yield place, Wrong(f"lies in vaults.{name}", "Allowed: a folder of its own.")


def _of_vault(vault: Table) -> Found:
    yield from _twice(vault.get("recipients"))
    if str(vault.get("url", "")).startswith("file:"):
        for name in vault.keys() & _S3_ONLY:
            yield (name,), Wrong("is for S3 only", "Take it out: the url is of a folder.")
        return
    yield from _two_homes(vault, "access_key_id")
    yield from _two_homes(vault, "secret_access_key")
    halves = [half for half in ("access_key_id", "secret_access_key") if _homes(vault, half)]
    if len(halves) == 1:
        yield (), Wrong(f"has {halves[0]} alone", "Allowed: both halves of the key, or none.")
    yield from _two_homes(vault, "session_token")
    yield from of_bucket(vault)


def _twice(recipients: object) -> Found:
    """One key in two places is a slip: somebody else was meant."""
    if not isinstance(recipients, list):
        return
    for index, recipient in enumerate(recipients):
        if isinstance(recipient, str) and recipient in recipients[:index]:
            yield ("recipients", index), Wrong("is there twice", "Allowed: each recipient once.")


def _of_cache(cache: Table, vaults: Mapping[str, Table]) -> Found:
    yield from _two_homes(cache, "password")
    yield from _of_tls(cache)
    named = cache.get("vault")
    if named is None and len(vaults) > 1:
        yield (), Wrong("vault is missing", f"There are several: {', '.join(vaults)}.")
    elif isinstance(named, str) and vaults and named not in vaults:
        allowed = f"{near_miss(named, list(vaults))}Allowed: {', '.join(vaults)}."
        yield ("vault",), Wrong(f'is "{named}", and there is no such vault', allowed)
    for wrong in second_vault(cache, vaults):
        yield ("copy_to",), wrong


def _of_policy(policy: Table) -> Found:
    windows = policy.get("windows")
    if not isinstance(windows, list) or not windows:
        return
    if "auto" not in policy:
        wrong = Wrong(
            "has windows, and does not say whether they are used",
            "Say auto = true; or auto = false, which keeps them for later.",
        )
        yield (), wrong
    fit = [text for text in windows if isinstance(text, str) and window_unfit(text) is None]
    for unfit in windows_unfit(fit):
        yield ("windows",), told(unfit)


def _of_tls(cache: Table) -> Found:
    """TLS is asked for by the URL alone: its settings beside another one would do nothing."""
    url = str(cache.get("url", "")).lower()
    if url.startswith(("valkeys:", "rediss:")):
        yield from _of_pair(cache)
        return
    for name in (name for name in cache if name.startswith("tls_")):
        wrong = "is for TLS, and the url does not ask for it"
        yield (name,), Wrong(wrong, "Write valkeys:// in the url, or take this out.")


def _of_restore(restore: Table) -> Found:
    yield from _of_pair(restore)
    if "tls_ca_file" in restore and not restore.keys() & {"tls_cert_file", "tls_key_file"}:
        allowed = "Set tls_cert_file and tls_key_file as well, or take this out."
        yield ("tls_ca_file",), Wrong("is set without a certificate of our own", allowed)


def _of_pair(table: Table) -> Found:
    halves = [half for half in ("tls_cert_file", "tls_key_file") if half in table]
    if len(halves) == 1:
        allowed = "Allowed: a certificate and its key, or neither."
        yield (halves[0],), Wrong("is set alone", allowed)


def _two_homes(table: Table, secret: str) -> Found:
    homes = _homes(table, secret)
    if len(homes) > 1:
        yield (homes[1],), Wrong(f"is set beside {homes[0]}", "Allowed: one of the two.")


def _homes(table: Table, secret: str) -> list[str]:
    return [home for home in (f"{secret}_file", f"{secret}_env") if home in table]
