"""How netstack-ring gets a node's certificate, by files or from an issuer, and how it is an issuer itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from twisted.application.service import IService

from netstack.http.application import ApplicationLimits, ApplicationServer
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import requests
from netstack.http.service import HTTPService
from netstack.kernel.authority import Authority, Leaf, TLSError, authorities
from netstack.kernel.listen import Endpoint
from netstack.kernel.machine import Machine
from netstack.kernel.mutual import MutualTLS
from netstack.ring.credentials import Credentials, IssuedCredentials, Renewal, kept_key, public_der
from netstack.ring.identity import Certified, NotCertified, uri
from netstack.ring.issuer import Issuer, IssuerLimits, parse_tokens
from netstack.ring.metrics import RingCounts, issuer_counts

HASHED = -1
"""In place of an identifier: it is a hash."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A node that can prove who it is."""

    machine: Machine
    """With the TLS of nodes."""
    ident: int
    credentials: Credentials


def authenticated(
    machine: Machine,
    identity: Certified,
    ident: int,
    trust: str,
    counts: RingCounts,
    issuer: str,
    token: str,
    renewal: Renewal,
) -> Authenticated:
    """By the machine's certificate, or with `issuer` by that one's. `trust`: PEM; by itself what the machine trusts.

    Raises ValueError.
    """
    tls: Any = machine.tls
    credentials: Credentials
    if issuer:
        key = _kept_key(machine)
        if identity.profile == "hashed":
            ident = identity.circle.of_public_key(public_der(key))

        def check(certificate: x509.Certificate) -> None:
            found = identity.ident(certificate)
            if found != ident:
                raise NotCertified(f"the certificate is for identifier {found}, not for {ident}")

        credentials = IssuedCredentials(machine, key, issuer, token, counts, check, renewal)
    else:
        leaf = next((leaf for leaf in tls.leaves if _is_node(leaf, identity)), None)
        if leaf is None:
            wanted = uri(identity.network) + ("" if identity.profile == "hashed" else "IDENT")
            raise ValueError(f"certificate: expected one for {wanted}, a URI among its alternative names")
        found = identity.ident(leaf.certificate)
        if ident not in (HASHED, found):
            raise ValueError(f"ident: the certificate is for {found}, not for {ident}")
        ident = found
        credentials = Credentials(machine, leaf, counts)
    try:
        trusted = authorities(trust.encode()) if trust else tls.trust
        mutual = MutualTLS(machine.reactor, machine.wall, lambda: credentials.leaf, trusted)
    except (TLSError, ValueError) as error:
        raise ValueError(f"authorities: {error}") from None
    return Authenticated(replace(machine, tls=mutual), ident, credentials)


def issuing(
    machine: Machine,
    endpoints: Sequence[Endpoint],
    identity: Certified,
    authority: Sequence[str],
    tokens: str,
    limits: IssuerLimits,
) -> IService:
    """An issuer at these endpoints; `authority`: certificate and key, PEM. Raises ValueError."""
    try:
        certificate, key = (each.encode() for each in authority)
        own = Authority.from_pem(certificate, key, machine.wall)
    except TLSError as error:
        raise ValueError(f"issue_authority: {error}") from None
    try:
        known = parse_tokens(tokens, identity.profile)
    except ValueError as error:
        raise ValueError(f"issue_tokens: {error}") from None
    issuer = Issuer(machine, own, identity.network, known, issuer_counts(machine.registry), limits)
    application = ApplicationServer(issuer, (machine.name,), ApplicationLimits(), requests(machine.registry), None)
    service: Any = HTTPService(machine, endpoints, application, HTTPLimits(body=limits.request), machine.limits, "netstack")
    made: IService = service
    return made


def _kept_key(machine: Machine) -> Any:
    try:
        return kept_key(machine)
    except TLSError as error:
        raise ValueError(f"state: {error}") from None


def _is_node(leaf: Leaf, identity: Certified) -> bool:
    try:
        identity.ident(leaf.certificate)
    except NotCertified:
        return False
    return True
