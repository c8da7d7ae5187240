"""What the settings of a bucket must be together: encryption, lock, token, authority.

Pure, and passes over what has not the form that it needs, because that is told elsewhere.
"""

from collections.abc import Iterator, Mapping

from daemon.config.lines import Place
from daemon.config.problem import Wrong
from daemon.config.settings import PolicyConfig

Table = Mapping[str, object]


def of_bucket(vault: Table) -> Iterator[tuple[Place, Wrong]]:
    """What the settings of one S3 vault have against each other."""
    if "tls_ca_file" in vault and str(vault.get("endpoint_url", "")).startswith("http:"):
        wrong = "is for TLS, and the endpoint_url does not ask for it"
        yield ("tls_ca_file",), Wrong(wrong, "Write https:// there, or take this out.")
    if "sse_kms_key_id" in vault and vault.get("sse") != "aws:kms":
        wrong = "names a key that nothing is encrypted with"
        yield ("sse_kms_key_id",), Wrong(wrong, 'Set sse = "aws:kms" as well, or take this out.')
    for name, other in (("object_lock", "object_lock_days"), ("object_lock_days", "object_lock")):
        if name in vault and other not in vault:
            yield (name,), Wrong("is set alone", f"Allowed: {name} and {other}, or neither.")
    tokens = [name for name in ("session_token_env", "session_token_file") if name in vault]
    if tokens and not {"access_key_id_env", "access_key_id_file"} & vault.keys():
        yield (tokens[0],), Wrong("belongs to no key", "Name both halves of its key as well.")


def outlived(
    vaults: Mapping[str, Table], *, caches: Mapping[str, Table]
) -> Iterator[tuple[Place, Wrong]]:
    """Caches whose backups retention would delete while the bucket still holds them locked."""
    for name, cache in caches.items():
        only = next(iter(vaults)) if len(vaults) == 1 else None
        policy, vault = cache.get("policy"), vaults.get(str(cache.get("vault", only)))
        if not isinstance(policy, dict) or vault is None:
            continue
        kept = policy.get("retention_days", PolicyConfig().retention_days)
        locked = vault.get("object_lock_days")
        if isinstance(kept, int) and isinstance(locked, int) and kept < locked:
            wrong = f"is {kept}, and the bucket locks each backup for {locked} days"
            allowed = f"Allowed: at least the vault's object_lock_days, {locked}."
            yield ("caches", name, "policy", "retention_days"), Wrong(wrong, allowed)
