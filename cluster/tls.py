"""TLS by setting: whom our clients trust, what the HTTP front and Ray's nodes speak by."""

import ssl
from pathlib import Path

from cluster.errors import SettingsError
from cluster.sections.encryption import TlsSettings

__all__ = ["certificate_ends_at", "node_environment", "serve_options", "trust"]


def trust(authority: Path | None) -> ssl.SSLContext | bool:
    """What httpx takes as `verify`: the public authorities, and ours where there is one.

    Raises SettingsError where its file cannot be used.
    """
    return True if authority is None else _trusting(authority)


def serve_options(tls: TlsSettings) -> dict[str, str]:
    """What Serve's HTTP options say of encryption."""
    if tls.certificate is None:
        return {}
    return {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}


def node_environment(tls: TlsSettings) -> dict[str, str]:
    """Variables that each of Ray's processes needs before it imports Ray."""
    if not tls.nodes:
        return {}
    return {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(tls.certificate),
        "RAY_TLS_SERVER_KEY": str(tls.key),
        "RAY_TLS_CA_CERT": str(tls.authority),
    }


def certificate_ends_at(certificate: Path, key: Path, authority: Path | None, host: str) -> float:
    """When it ends, in Unix seconds, once a client that asks for `host` has accepted it.

    Both sides are here, in memory. Raises SettingsError with what is wrong with the files, or with
    what the client says.
    """
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        ours.load_cert_chain(certificate, key, password="")  # else it would ask
    except OSError as error:  # SSLError is one
        raise SettingsError(
            f"tls.certificate {certificate} with tls.key {key} cannot be used: {_reason(error)}.",
            fix="Name PEM files that belong together; the key has no password.",
        ) from error
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ours.wrap_bio(to_server, to_client, server_side=True)
    client = _trusting(authority).wrap_bio(to_client, to_server, server_hostname=host)
    try:
        while not (_shaken(client) & _shaken(server)):
            pass
    except ssl.SSLCertVerificationError as error:
        raise SettingsError(
            f"A client that asks for {host} refuses tls.certificate: {error.verify_message}.",
            fix="Renew it, or set tls.authority and tls.name to what it was made by and for.",
        ) from error
    found = client.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(found["notAfter"])))


def _trusting(authority: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority is not None:
        try:
            context.load_verify_locations(authority)
        except OSError as error:
            raise SettingsError(
                f"tls.authority {authority} cannot be used: {_reason(error)}.",
                fix="Name a PEM file with the certificate of your authority.",
            ) from error
    return context


def _shaken(side: ssl.SSLObject) -> bool:
    """Go on as far as what the other side said allows; whether the handshake is done."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _reason(error: OSError) -> str:
    """OpenSSL's word for it, without its numbers and places in its sources."""
    word = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return (word or type(error).__name__).replace("_", " ").lower()
