"""Which rule each text of the configuration has to keep, by the setting's path.

Pure. The rules themselves are elsewhere; `*` stands for a name that the user has given.
"""

from collections.abc import Mapping

from daemon.config import notify
from daemon.config.hooks import cache_pattern, timeout, word
from daemon.config.loopback import loopback
from daemon.config.prices import OF_PRICES
from daemon.config.rules import (
    Rule,
    absolute_path,
    address,
    bandwidth,
    cache_url,
    endpoint_url,
    export_url,
    host,
    import_size,
    kms_key,
    name,
    recipient,
    region,
    role,
    server_name,
    socket_path,
    spool_size,
    storage_class,
    timezone,
    variable,
    vault_url,
    window,
)

OF_EXPORTS: Mapping[str, Rule] = {
    "exports.*": name,
    "exports.*.url": export_url,
    "exports.*.endpoint_url": endpoint_url,
    "exports.*.region": region,
    "exports.*.access_key_id_env": variable,
    "exports.*.access_key_id_file": absolute_path,
    "exports.*.secret_access_key_env": variable,
    "exports.*.secret_access_key_file": absolute_path,
    "exports.*.session_token_env": variable,
    "exports.*.session_token_file": absolute_path,
    "exports.*.tls_ca_file": absolute_path,
    "exports.*.sse_kms_key_id": kms_key,
}
OF_HOOKS: Mapping[str, Rule] = {
    "hooks.*": name,
    "hooks.*.command": word,
    "hooks.*.timeout": timeout,
    "hooks.*.caches": cache_pattern,
}
OF_NOTIFY: Mapping[str, Rule] = {
    "channels.*": name,
    "channels.*.url_file": absolute_path,
    "channels.*.url_env": variable,
    "channels.*.on": notify.kind,
    "channels.*.caches": notify.pattern,
    "notify.name": notify.label,
    "notify.group_wait": notify.group_wait,
    "notify.repeat_every": notify.repeat_every,
    "notify.weekly": notify.weekly,
    "notify.timezone": timezone,
    "notify.heartbeat_url_file": absolute_path,
    "notify.heartbeat_url_env": variable,
    "notify.heartbeat_every": notify.heartbeat_every,
}
TEXTS: Mapping[str, Rule] = {
    "daemon.socket": socket_path,
    "daemon.data_dir": absolute_path,
    "daemon.bandwidth": bandwidth,
    "roles.admin": role,
    "roles.operator": role,
    "roles.viewer": role,
    "vaults.*": name,
    "vaults.*.url": vault_url,
    "vaults.*.recipients": recipient,
    "vaults.*.identity_file": absolute_path,
    "vaults.*.endpoint_url": endpoint_url,
    "vaults.*.region": region,
    "vaults.*.access_key_id_env": variable,
    "vaults.*.access_key_id_file": absolute_path,
    "vaults.*.secret_access_key_env": variable,
    "vaults.*.secret_access_key_file": absolute_path,
    "vaults.*.session_token_env": variable,
    "vaults.*.session_token_file": absolute_path,
    "vaults.*.tls_ca_file": absolute_path,
    "vaults.*.sse_kms_key_id": kms_key,
    "vaults.*.storage_class": storage_class,
    "restore.bind": address,
    "restore.advertise": host,
    "restore.tls_cert_file": absolute_path,
    "restore.tls_key_file": absolute_path,
    "restore.tls_ca_file": absolute_path,
    "spool.directory": absolute_path,
    "spool.max_bytes": spool_size,
    "imports.max_bytes": import_size,
    "metrics.listen": loopback,
    "caches.*": name,
    "caches.*.url": cache_url,
    "caches.*.password_file": absolute_path,
    "caches.*.password_env": variable,
    "caches.*.policy.timezone": timezone,
    "caches.*.policy.windows": window,
    "caches.*.tls_ca_file": absolute_path,
    "caches.*.tls_cert_file": absolute_path,
    "caches.*.tls_key_file": absolute_path,
    "caches.*.tls_server_name": server_name,
    "caches.*.bandwidth": bandwidth,
    **OF_EXPORTS,
    **OF_HOOKS,
    **OF_NOTIFY,
    **OF_PRICES,
}
"""The rule of each text; an element of a list has its list's."""
