"""Who a node is by its certificate, so that none can choose its place on the circle or take another one's.

A certificate names the network in a URI (RFC 5280 §4.2.1.6): `ring://NETWORK/IDENT` in the profile `given`, in which the
authority gives identifiers, as the chapter has them; `ring://NETWORK/` in the profile `hashed`, in which the identifier is
the first bits of SHA-256 of the public key (its SubjectPublicKeyInfo). A certificate for another network, or for a Web
server, is none here.
"""

from collections.abc import Sequence
from typing import Literal, get_args
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netstack.ring.identifiers import Circle, Contact
from netstack.sansio import Peer

Profile = Literal["hashed", "given"]
PROFILES: tuple[Profile, ...] = get_args(Profile)


class NotCertified(Exception):
    """A certificate that is no node's of this network; the text says why."""


def uri(network: str, ident: int | None = None) -> str:
    """What a node's certificate has to carry; `ident` in the profile `given`."""
    return f"ring://{quote(network, safe='')}/{'' if ident is None else ident}"


class Certified:
    """Reads certificates of one network; what `Links` asks about who connects."""

    def __init__(self, circle: Circle, network: str, profile: Profile) -> None:
        self.circle = circle
        self.network = network
        self.profile = profile

    def problem(self, contact: Contact, peer: Peer) -> str | None:
        chain: Sequence[bytes] = () if peer.security is None else peer.security.chain()
        if not chain:
            return "there is no certificate"
        try:
            ident = self.ident(x509.load_der_x509_certificate(chain[0]))
        except (NotCertified, ValueError) as error:
            return f"the certificate is no node's: {error}"
        if ident != contact.ident:
            return f"the certificate is for identifier {ident}, not for {contact.ident}"
        return None

    def until(self, peer: Peer) -> float:
        """When the certificate of who was found to have no problem ends: seconds of the wall clock."""
        chain: Sequence[bytes] = () if peer.security is None else peer.security.chain()
        return x509.load_der_x509_certificate(chain[0]).not_valid_after_utc.timestamp() if chain else 0.0

    def ident(self, certificate: x509.Certificate) -> int:
        """The identifier of a certificate's owner. Raises NotCertified."""
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            raise NotCertified("it names no network") from None
        wanted = uri(self.network)
        own = [name for name in names.get_values_for_type(x509.UniformResourceIdentifier) if name.startswith(wanted)]
        rest = [name.removeprefix(wanted) for name in own]
        if self.profile == "hashed":
            if "" not in rest:
                raise NotCertified(f"it is not for {wanted}")
            public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return self.circle.of_public_key(public)
        given = [text for text in rest if text]
        if len(given) != 1 or not given[0].isascii() or not given[0].isdigit() or str(int(given[0][:50])) != given[0]:
            raise NotCertified(f"it is not for one identifier of {wanted}")
        ident = int(given[0])
        if ident >= self.circle.size:
            raise NotCertified(f"identifier {ident} has more than {self.circle.bits} bits")
        return ident
