"""Channel bindings of a TLS connection: what both of its ends know, and nobody in between can have alike (RFC 5056)."""

from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL

EXPORTER = "tls-exporter"
END_POINT = "tls-server-end-point"
_WEAK = (hashes.MD5, hashes.SHA1)


def channel_binding(connection: SSL.Connection, kind: str) -> bytes | None:
    """The binding after the handshake; None for kinds that are not known, or that this connection does not have."""
    if kind == EXPORTER:  # RFC 9266; before TLS 1.3 it is good with an extended master secret alone (§4.2)
        if connection.get_protocol_version_name() != "TLSv1.3":
            return None
        return connection.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
    if kind == END_POINT:  # RFC 5929 §4.1
        certificate = connection.get_peer_certificate(as_cryptography=True)  # a client's: we ask nobody else for one
        certificate = certificate or connection.get_certificate(as_cryptography=True)
        if certificate is None:
            return None
        algorithm = certificate.signature_hash_algorithm
        if algorithm is None:  # Ed25519: not defined
            return None
        return certificate.fingerprint(hashes.SHA256() if isinstance(algorithm, _WEAK) else algorithm)
    return None
