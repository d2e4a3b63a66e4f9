"""Mail in a world: whose mail a host has (service `smtp`), its users, and the records that tell everybody.

A mail host has the domain of the zone that its name falls into, unless its option `domains` says others; each has an MX
record that names the host. Where the profile authenticates mail, zones publish SPF, DKIM and DMARC, and hosts sign. Keys
and salts follow from the world's name and seed, so that every process knows the same; passwords stand in the world file:
both protect nothing outside of the world.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import sha256, sha512

from netstack.world.model import Host, Service, World
from netstack.world.problems import Problem, path

PLUGIN = "smtp"
PREFERENCE = 10
SELECTOR = "world"
"""Of the DKIM keys."""
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


def records(world: World) -> Iterator[tuple[str, str]]:
    """(zone, line) for the master files. A zone whose own records have MX brings all of its MX records itself."""
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
        home = world.zone_of(host.name)
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
