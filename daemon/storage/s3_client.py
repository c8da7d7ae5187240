"""The S3 client and its settings, each with its reason.

Knows aiobotocore; nothing is sent before the first call.
"""

import ssl
from contextlib import AsyncExitStack
from functools import cache
from typing import TYPE_CHECKING

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader, create_loader

from daemon.errors import Permanent
from daemon.storage.settings import S3Keys, VaultSettings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_CONNECTIONS = 16
_CONNECT_SECONDS = 10
_SILENCE_SECONDS = 60


async def connect(settings: VaultSettings, stack: AsyncExitStack) -> "S3Client":
    """A client for one vault, closed by the stack. Wrong settings are `Permanent`.

    Keys and authorities are read now: whoever connects again finds what they are then.
    """
    _look_at_authorities(settings)
    keys = settings.keys() if settings.keys else _written(settings)
    try:
        return await stack.enter_async_context(
            _session().create_client(
                "s3",
                region_name=settings.region,
                endpoint_url=settings.endpoint_url,
                aws_access_key_id=keys.access_key_id,
                aws_secret_access_key=keys.secret_access_key,
                aws_session_token=keys.session_token,
                verify=settings.ca_file,
                config=_config(settings),
            )
        )
    except (BotoCoreError, ValueError) as error:
        raise Permanent(
            "vault-url",
            f"cannot reach {settings.url}: {error}",
            "check `endpoint_url`, `region` and the AWS profile of the daemon's user",
        ) from error


def _session() -> AioSession:
    """A session of its own, because sessions remember keys; what S3 is like it need not read again.

    Reading that takes most of the time of a connection, in which nothing else of the daemon runs.
    """
    session = get_session()
    session.register_component("data_loader", _models(session.get_config_variable("data_path")))
    return session


@cache
def _models(data_path: str | None) -> Loader:
    """The descriptions of services that come with botocore; clients only read them."""
    return create_loader(data_path)


def _written(settings: VaultSettings) -> S3Keys:
    return S3Keys(settings.access_key_id, settings.secret_access_key)


def _look_at_authorities(settings: VaultSettings) -> None:
    """The client would tell of an unreadable file as if the network were to blame."""
    if settings.ca_file is None:
        return
    try:
        ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # of which `ssl.SSLError` is one
        raise Permanent(
            "vault-tls",
            f"cannot reach {settings.url}: {settings.ca_file} holds no certificates that can be "
            f"read ({error.strerror or 'not PEM'})",
            "tls_ca_file must name a PEM file that the daemon's user may read",
        ) from error


def _config(settings: VaultSettings) -> AioConfig:
    """One try per call, because `s3_calls` repeats; checksums as every server knows them.

    Botocore would add CRC-32 trailers to uploads (``aws-chunked``), which many S3 servers
    refuse or store as part of the object, and expect them on downloads. `s3_sums` makes the
    checksums that we send, and the manifest has SHA-256 of every block. A server of one's own has
    seldom a host name for each bucket, so with an `endpoint_url` buckets are named in the path.
    """
    by_path = settings.addressing == "auto" and settings.endpoint_url
    return AioConfig(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_SILENCE_SECONDS,
        max_pool_connections=_CONNECTIONS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if by_path else settings.addressing},
    )
