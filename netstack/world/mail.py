"""Mail in a world: whose mail a host has (service `smtp`), its users, and the records that tell everybody.

A mail host has the domain of the zone that its name falls into, unless its option `domains` says others; each has an MX
record that names the host. Where the profile authenticates mail, zones publish SPF, DKIM and DMARC, and hosts sign; signed
zones publish by TLSA records that their mail hosts have a certificate of the world's CA (DANE), and every domain has a host
`mta-sts.DOMAIN` with its MTA-STS policy. Keys and salts follow from the world's name and seed, so that every process knows
the same; passwords stand in the world file: both protect nothing outside of the world.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import sha256, sha512

from netstack.world.model import Host, Service, World
from netstack.world.problems import Problem, path
from netstack.world.signing import signed

PLUGIN = "smtp"
PREFERENCE = 10
POLICY_HOST = "mta-sts."
"""Before a domain: the name of the host with its policy (RFC 8461 §3.3)."""
SELECTOR = "world"
"""Of the DKIM keys."""
POLICY_AGE = 7 * 86400
"""Seconds for which others keep a domain's MTA-STS policy."""
ITERATIONS = 4096
"""Of SCRAM: as few as clients accept (RFC 7677 §4). Verifiers by scrypt, at full cost, would keep a world from coming up."""
_OWN_MX = re.compile(r"^[^;]*\sMX\s", re.MULTILINE | re.IGNORECASE)


def domains(world: World, host: Host, service: Service) -> tuple[str, ...]:
    """Whose mail ends there."""
    given = service.options.get("domains")
    if isinstance(given, str):
        return (given,)
    if isinstance(given, list | tuple):
        return tuple(map(str, given))
    zone = world.zone_of(host.name)
    return () if zone is None else (zone.name,)


def users(world: World, host: Host, service: Service) -> dict[str, str]:
    """Address -> password; names without a domain are in the first of the host's."""
    given = service.options.get("users", {})
    own = domains(world, host, service)
    if not isinstance(given, Mapping):
        return {}
    return {str(name) if "@" in str(name) else f"{name}@{next(iter(own), '')}": str(word) for name, word in given.items()}


def accounts(world: World, host: Host, service: Service) -> tuple[str, ...]:
    """Lines for the tap; raises ValueError for a name or a password that cannot be."""
    return tuple(_account(f"{world.name} {world.seed}", *user) for user in users(world, host, service).items())


def servers(world: World) -> Iterator[tuple[Host, Service, tuple[str, ...]]]:
    """Every mail host, its service, and its domains."""
    for host in world.hosts.values():
        for service in host.services:
            if service.plugin == PLUGIN:
                yield host, service, domains(world, host, service)


def host_of(world: World, domain: str) -> str | None:
    """The first host that has a domain's mailboxes."""
    return next((host.name for host, _, own in servers(world) if domain in own), None)


def policy_hosts(world: World) -> Iterator[Host]:
    """The Web servers with the MTA-STS policies (RFC 8461 §3.3) of all domains, where the profile authenticates mail."""
    for host, _, own in servers(world):
        for domain in own:
            zone = world.zone_of(domain)
            if zone is not None and zone.name != ".":
                origin = Service("origin", "origin", {"content": "mta-sts"})
                yield Host(f"{POLICY_HOST}{domain}", host.site, services=(origin,), derived=True)


def policy(world: World, domain: str) -> str:
    """A domain's MTA-STS policy (§3.2)."""
    exchanges = [host.name for host, _, own in servers(world) if domain in own]
    lines = ["version: STSv1", "mode: enforce", *(f"mx: {name}" for name in exchanges), f"max_age: {POLICY_AGE}"]
    return "".join(f"{line}\r\n" for line in lines)


def anchored(world: World, host: Host) -> bool:
    """Whether a host's TLS sends the CA's certificate, too, as DANE-TA asks for (RFC 7672 §3.1.2)."""
    return world.profile.mail_authentication and host.service(PLUGIN) is not None


def records(world: World, ca: bytes = b"") -> Iterator[tuple[str, str]]:
    """(zone, line) for the master files. A zone whose own records have MX brings all of its MX records itself.

    `ca`: the world's CA as PEM, for the TLSA records; without it there are none.
    """
    told: set[str] = set()
    for host, _, own in servers(world):
        for domain in own:
            zone = world.zone_of(domain)
            if zone is None:
                continue
            if not _OWN_MX.search(zone.records):
                yield zone.name, f"{domain}. IN MX {PREFERENCE} {host.name}."
            if world.profile.mail_authentication and domain not in told:
                told.add(domain)
                yield zone.name, f'{domain}. IN TXT "v=spf1 mx -all"'
                yield zone.name, f'_dmarc.{domain}. IN TXT "v=DMARC1; p=reject"'
                public = _key(f"{world.name} {world.seed} {domain}")[1]
                yield zone.name, f'{SELECTOR}._domainkey.{domain}. IN TXT "v=DKIM1; k=ed25519; p={public}"'
                identifier = sha256(policy(world, domain).encode()).hexdigest()[:16]
                yield zone.name, f'_mta-sts.{domain}. IN TXT "v=STSv1; id={identifier};"'
                yield zone.name, f'_smtp._tls.{domain}. IN TXT "v=TLSRPTv1; rua=mailto:postmaster@{domain}"'
        home = world.zone_of(host.name)
        if ca and home is not None and anchored(world, host) and signed(world, home.name):
            yield home.name, f"_25._tcp.{host.name}. IN TLSA 2 1 1 {_public_digest(ca)}"
        if world.profile.mail_authentication and home is not None and host.name not in own:  # reports come from the host
            yield home.name, f'{host.name}. IN TXT "v=spf1 a -all"'


def dkim(world: World, host: Host, service: Service) -> tuple[tuple[str, str, str], ...]:
    """(domain, selector, private key in PEM) of each domain, where the profile authenticates mail."""
    if not world.profile.mail_authentication:
        return ()
    own = domains(world, host, service)
    return tuple((domain, SELECTOR, _key(f"{world.name} {world.seed} {domain}")[0]) for domain in own)


def problems(world: World) -> Iterator[Problem]:
    """What is wrong with mail hosts."""
    for host, service, own in servers(world):
        key = path("hosts", host.name, "services", service.name)
        given = service.options.get("domains", [])
        texts = given if isinstance(given, list) else [given]
        if not all(isinstance(text, str) for text in texts) or (given == [] and "domains" in service.options):
            yield Problem(f"{key}.domains", f"{given!r} is not a list of domains")
            continue
        for domain in own:
            zone = world.zone_of(domain)
            if zone is None or zone.name == ".":
                yield Problem(f"{key}.domains", f"{domain} falls into no zone: nobody finds its mail host")
        words = service.options.get("users", {})
        if not isinstance(words, Mapping) or not all(isinstance(word, str) and word for word in words.values()):
            yield Problem(f"{key}.users", 'expected names with passwords, such as { alice = "tomato" }')
            continue
        for address in users(world, host, service):
            if address.rpartition("@")[2] not in own:
                wrong = f"{address} is in no domain of {host.name}, which has {', '.join(own) or 'none'}"
                yield Problem(f"{key}.users", wrong)
        site = world.sites.get(host.site)
        if site is not None and site.resolver is None:
            yield Problem(key, f"the site {site.name} has no resolver: a mail host that finds no other cannot send")


@lru_cache(maxsize=16)
def _public_digest(ca: bytes) -> str:
    """SHA-256 of the CA's public key (RFC 6698 §2.1): it stays when leaves are issued anew."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = x509.load_pem_x509_certificate(ca).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(public).hexdigest()


@lru_cache(maxsize=10_000)
def _account(seed: str, name: str, password: str) -> str:
    from netstack.mail.accounts import Account, account_line, account_name
    from netstack.mail.scram import ScramKeys

    canonical = account_name(name)
    salt = sha256(f"salt {seed} {canonical}".encode()).digest()[:16]
    return account_line(Account(canonical, scram=ScramKeys.make(password, salt, ITERATIONS)))


@lru_cache(maxsize=10_000)
def _key(seed: str) -> tuple[str, str]:
    """An Ed25519 key (RFC 8463): private as PEM, public as the record has it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.from_private_bytes(sha512(f"dkim key {seed}".encode()).digest()[:32])
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private, b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
