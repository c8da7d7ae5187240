"""What a failure of TLS means for the caller: whose certificate it is about, and what to do.

Pure: takes the error, gives one of `daemon.errors`. Nearly all are permanent, because somebody
has to change a certificate, a name or a setting before another try can end otherwise.
"""

import ssl

from daemon.errors import Failed, Permanent, Transient
from daemon.valkey.address import Address
from daemon.valkey.tls import Tls

_NOT_TLS = frozenset(
    [
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "HTTPS_PROXY_REQUEST",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "UNKNOWN_PROTOCOL",
    ]
)
_NO_COMMON_VERSION = ("UNSUPPORTED_PROTOCOL", "ALERT_PROTOCOL_VERSION", "VERSION_TOO_LOW")
_OUR_CERTIFICATE = {
    "ALERT_CERTIFICATE_EXPIRED": "it has expired: renew it, the new one is used at once",
    "ALERT_UNKNOWN_CA": "the server's tls-ca-cert-file does not hold who signed it",
    "ALERT_BAD_CERTIFICATE": "the server's log says why",
    "ALERT_UNSUPPORTED_CERTIFICATE": "it must be good for clientAuth (extendedKeyUsage)",
    "ALERT_CERTIFICATE_REVOKED": "it is revoked: have a new one issued",
    "ALERT_CERTIFICATE_UNKNOWN": "the server's log says why",
    "ALERT_ACCESS_DENIED": "the server's log says why",
    "ALERT_DECRYPT_ERROR": "the server's log says why",
}


def tls_failed(address: Address, tls: Tls | None, error: ssl.SSLError) -> Failed:
    """The error for a handshake, or a connection, that OpenSSL gave up."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unverified(address, tls or Tls(), error)
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return not_tls(address)
    if reason.endswith(_NO_COMMON_VERSION):
        return Permanent(
            "tls-version",
            f"{address} speaks no version of TLS that is fit to use (1.2 and newer)",
            "see tls-protocols of the server",
        )
    return _about_ours(address, tls or Tls(), reason) or _broken(address, reason)


def not_tls(address: Address) -> Permanent:
    """Something answers there, in the clear."""
    return Permanent(
        "tls-not-spoken",
        f"what listens on {address} does not speak TLS",
        "give the server's tls-port in the URL, or use valkey:// if it has none",
    )


def only_tls(address: Address) -> Permanent:
    """We spoke in the clear to a port that wants TLS."""
    return Permanent(
        "tls-wanted",
        f"what listens on {address} speaks TLS only",
        "write valkeys:// in the URL, and tls_ca_file if its certificate is signed by an "
        "authority of your own",
    )


def _unverified(address: Address, tls: Tls, error: ssl.SSLCertVerificationError) -> Permanent:
    """The server's certificate is not one that we may believe; codes are ``X509_V_ERR_…``."""
    name = tls.server_name or address.host
    match error.verify_code:
        case 10:
            return Permanent(
                "tls-expired",
                f"the certificate of {address}, or of who signed it, has expired",
                "renew it on the server: CONFIG SET tls-cert-file FILE loads it without a restart",
            )
        case 9:
            return Permanent(
                "tls-expired",
                f"the certificate of {address}, or of who signed it, is not valid yet",
                "compare the clocks of this host and of the one that issued it",
            )
        case 62 | 64:
            return Permanent(
                "tls-name",
                f"the certificate of {address} is for another name than {name}",
                "set tls_server_name to a name in it (openssl x509 -ext subjectAltName shows "
                f"them), or have one issued for {name}",
            )
        case 26:
            hint = "it must be good for serverAuth (extendedKeyUsage)"
        case _ if tls.ca_file is None:
            hint = "set tls_ca_file to the certificate of the authority that signed it"
        case _:
            hint = f"does {tls.ca_file} hold the certificate of the authority that signed it?"
    return Permanent(
        "tls-untrusted",
        f"the certificate of {address} is not trusted: {error.verify_message}",
        hint,
    )


def _about_ours(address: Address, tls: Tls, reason: str) -> Permanent | None:
    """The server has ended it because of our certificate, or because we have none."""
    wanted = reason.endswith(("ALERT_CERTIFICATE_REQUIRED", "ALERT_HANDSHAKE_FAILURE"))
    if wanted and tls.cert_file is None:
        return Permanent(
            "tls-client-certificate",
            f"{address} wants a certificate of its clients, and we have none",
            "set tls_cert_file and tls_key_file for this cache (or tls-auth-clients no there)",
        )
    if reason.endswith("ALERT_HANDSHAKE_FAILURE"):
        return Permanent(
            "tls-version",
            f"{address} and we have no cipher or certificate type in common",
            "see tls-ciphers and tls-ciphersuites of the server",
        )
    for alert, hint in _OUR_CERTIFICATE.items():
        if reason.endswith(alert) and tls.cert_file is not None:
            return Permanent(
                "tls-client-certificate",
                f"{address} does not accept our certificate {tls.cert_file} "
                f"({alert.removeprefix('ALERT_').lower().replace('_', ' ')})",
                hint,
            )
    return None


def _broken(address: Address, reason: str) -> Transient:
    words = reason.lower().replace("_", " ") or "the connection was cut"
    return Transient(
        "tls-broken",
        f"TLS with {address} broke: {words}",
        "try again; if it stays so, the server's log may say why",
    )
