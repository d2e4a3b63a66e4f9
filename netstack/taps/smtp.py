"""netstack-smtp: a mail host that takes mail for its domains, sends its users' mail, and loses none (RFC 5321, RFC 6409)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGHUP
from typing import Any, Literal

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage

from netstack.http.client import ClientOptions, fetch
from netstack.http.faults import ErrorType
from netstack.http.limits import HTTPLimits
from netstack.http.links import FetchError
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.kernel.signals import Signals
from netstack.mail.accounts import Accounts
from netstack.mail.addresses import Mailbox, canonical_domain, parse_mailbox
from netstack.mail.credentials import Authenticator, CredentialLimits
from netstack.mail.limits import AddressLimits, HeadLimits, MimeLimits
from netstack.mail.sasl import MECHANISMS
from netstack.mail.store import MailStore, StoreLimits
from netstack.smtp.admission import Admission, AdmissionLimits
from netstack.smtp.authentication.checks import AuthenticationLimits, Signing, SigningKey, Verifying
from netstack.smtp.authentication.dkim import PrivateKey
from netstack.smtp.authentication.spf import SPFLimits
from netstack.smtp.courier import Courier, CourierLimits, CourierOptions
from netstack.smtp.dialogue import PROTOCOL
from netstack.smtp.directory import Directory, DirectoryLimits, parse_aliases, parse_domains
from netstack.smtp.limits import QueueLimits, SMTPLimits
from netstack.smtp.local import LocalSession, Straight
from netstack.smtp.metrics import Receptions, collector
from netstack.smtp.mta_sts import NoPolicy, STSLimits
from netstack.smtp.offer import Offer
from netstack.smtp.queue import LOCAL, Queue, Session
from netstack.smtp.reception import Check, Reception, ReceptionLimits, ReceptionOptions
from netstack.smtp.routes import Route
from netstack.smtp.service import Door, SMTPService
from netstack.smtp.spool import SpoolLimits
from netstack.smtp.submitting import Authorship, ShortLines
from netstack.smtp.tlspolicy import Policies
from netstack.taps.bounds import given, number, parameters
from netstack.taps.mail_bounds import (
    ADDRESSES,
    ADMISSION,
    AUTHENTICATING,
    CONNECTIONS,
    COURIER,
    CREDENTIALS,
    DIRECTORY,
    HEADS,
    MIME,
    QUEUE,
    RECEPTION,
    ROWS,
    SMTP,
    SPF,
    SPOOL,
    STORE,
    STS,
)
from netstack.taps.resolving import ResolvingOptions
from netstack.taps.standalone import built, endpoints, networks, placed, reason

__all__ = ["Config", "Options", "build", "makeService"]
LISTEN = ("tcp:25",)


@dataclass(frozen=True, slots=True)
class Config:
    """Whose mail a host takes, where, and how it sends on. Raises ValueError that names the key and what was expected."""

    domains: tuple[str, ...]
    """Whose mail ends here."""
    accounts: tuple[str, ...] = field(default=(), repr=False)
    """Lines of `netstack mail account`."""
    aliases: tuple[str, ...] = ()
    """Lines `ADDRESS: TARGET[, TARGET]...`; with `owner=ADDRESS` first, a list."""
    listen: tuple[str, ...] = LISTEN
    """Where other servers bring mail: endpoints with standard ports, `build` puts `machine.port()` over them."""
    submission: tuple[str, ...] = ()
    """Where the users send from, who log in: `tcp` with STARTTLS (587), `tls` (465)."""
    relay_for: tuple[str, ...] = ()
    """Networks whose hosts may send to anybody without logging in."""
    cleartext: bool = False
    """Log-ins are taken without TLS, too."""
    any_sender: bool = False
    """Who has logged in may write in anybody's name."""
    any_author: bool = False
    """In anybody's name in From and Sender alone; the envelope's sender is his own."""
    verify: bool = False
    """VRFY says who is here."""
    routes: tuple[str, ...] = ()
    """`DOMAIN=HOST[:PORT]`: mail for a domain goes to that host; `.example.com` all below, `*` all other domains."""
    hello: bool = False
    """Say HELO to other servers, and use no extension."""
    chunking: bool = False
    """Send by BDAT where the other server takes it."""
    starttls: bool = True
    """Offered to others, and used with those who offer it."""
    dane: bool = True
    """Servers whose TLSA records are proved have to have one of those certificates (RFC 7672)."""
    mta_sts: bool = True
    """Domains that publish an MTA-STS policy are sent to as it says (RFC 8461)."""
    authentication: bool = True
    """SPF, DKIM and DMARC of what comes from other servers, and Authentication-Results."""
    dmarc: bool = True
    """A domain's wish that what it has not sent be refused is heeded."""
    dkim: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    """(domain, selector, private key in PEM): with what the users' mail is signed."""
    catch_all: str = ""
    """The address that gets what nobody here has the address of."""
    grace: float = 5.0
    """Seconds that connections get to end by themselves when the service stops."""
    smtp: SMTPLimits = SMTP
    queue: QueueLimits = QUEUE
    spool: SpoolLimits = SPOOL
    reception: ReceptionLimits = RECEPTION
    credentials: CredentialLimits = CREDENTIALS
    addresses: AddressLimits = ADDRESSES
    heads: HeadLimits = HEADS
    mime: MimeLimits = MIME
    authenticating: AuthenticationLimits = AUTHENTICATING
    spf: SPFLimits = SPF
    admission: AdmissionLimits = ADMISSION
    sts: STSLimits = STS
    courier: CourierLimits = COURIER
    store: StoreLimits = STORE
    addressing: DirectoryLimits = DIRECTORY
    connections: StreamLimits = CONNECTIONS

    def __post_init__(self) -> None:
        if not self.domains and not self.submission:
            raise ValueError("domains: expected at least one domain whose mail is taken (--domain NAME)")
        for key in ("listen", "submission"):
            texts = getattr(self, key)
            for endpoint in endpoints(key, texts) if texts else ():
                if endpoint.kind == "udp":
                    raise ValueError(f"{key}: {endpoint} is a datagram endpoint; expected tcp or tls")
        networks("relay_for", self.relay_for)
        if not self.grace >= 0:
            raise ValueError(f"grace: expected a number not below 0, got {self.grace}")
        _ = self.directory, self.by_hand, self.signing_keys

    @property
    def directory(self) -> Directory:
        """Who is here; raises ValueError."""
        domains = _parsed("domains", lambda: parse_domains(self.domains))
        accounts = _parsed("accounts", lambda: Accounts.parse(self.accounts, domains))
        aliases = _parsed("aliases", lambda: parse_aliases(self.aliases))
        catch_all = _parsed("catch_all", lambda: _mailbox(self.catch_all))
        return Directory(accounts, domains | accounts.domains, aliases, catch_all=catch_all, limits=self.addressing)

    @property
    def signing_keys(self) -> list[SigningKey]:
        """Of DKIM; raises ValueError."""
        return [_parsed("dkim", lambda each=each: _signing_key(*each)) for each in self.dkim]  # type: ignore[misc]

    @property
    def by_hand(self) -> dict[str, Route]:
        """Routes by domain; raises ValueError."""
        found = {}
        for text in self.routes:
            domain, equals, place = text.partition("=")
            host, _, port = place.partition(":") if place.count(":") < 2 else (place, "", "")
            if not domain or not equals or not host or (port and not port.isdigit()) or not 0 < int(port or 25) < 65536:
                raise ValueError(f"routes: expected DOMAIN=HOST[:PORT], got {text!r}")
            found[domain.lower()] = Route((host.lower(),), int(port or 25), by_mx=False)
        return found


def build(config: Config, machine: Machine) -> IService:
    """The service, an SMTPService: its `queue` and `mailboxes` are for the control socket and for other services."""
    directory = config.directory
    metrics = collector(machine.registry)
    store = MailStore(machine, config.store)
    own_names = frozenset({machine.name, *config.domains})
    fetch = _Fetcher(machine, config.sts) if config.mta_sts else None
    policies = Policies(machine, fetch, config.dane, config.sts)
    smtp = replace(config.smtp, addresses=config.addresses)
    mime = replace(config.mime, head=config.heads)
    connections = replace(machine.limits, connections=config.connections.connections, idle=config.connections.idle)
    courier = Courier(
        machine,
        CourierOptions(
            machine.name, own_names, config.by_hand, config.starttls and not config.hello, not config.hello, config.chunking,
            config.courier, smtp, mime, connections,
        ),
        traffic(machine.registry, PROTOCOL, "client"),
        policies,
        metrics.timed,
    )  # fmt: skip
    authenticating = replace(config.authenticating, spf=config.spf, heads=config.heads)
    metrics.tls, metrics.policies = courier.by_tls, policies.counts

    def session(destination: str) -> Session:
        return LocalSession(directory, store) if destination == LOCAL else courier.session(destination)

    queue = metrics.queue = Queue(
        machine, machine.name, directory.lane, session, config.queue, config.spool, delayed=metrics.delayed
    )
    authenticator = Authenticator(machine, directory.accounts, config.credentials)
    kinds: list[tuple[Literal["mx", "submission"], tuple[str, ...]]] = [
        ("mx", config.listen),
        ("submission", config.submission),
    ]
    has_leaf = bool(getattr(machine.tls, "leaves", ()))
    doors = []
    for kind, texts in kinds:
        if not texts:
            continue
        options = ReceptionOptions(
            machine.name, kind, networks("relay_for", config.relay_for), config.any_sender, config.verify, config.reception
        )
        counts = metrics.receptions.setdefault(kind, Receptions())
        checks: list[Check] = []
        if kind == "mx" and config.authentication:
            checks.append(Verifying(machine, machine.name, config.dmarc, authenticating, counts.proved))
        elif kind == "submission":
            if not (config.any_sender or config.any_author):
                checks.append(Authorship(directory, counts.mismatches, config.heads))
            checks.append(ShortLines(machine, mime))
            if config.dkim:
                checks.append(Signing(machine, config.signing_keys))
        admission = Admission(machine, config.admission)
        straight = Straight(directory, store)
        reception = Reception(machine, options, directory, queue, authenticator, counts, checks, admission, straight)
        mechanisms = MECHANISMS if kind == "submission" else ()
        offer = Offer(machine.name, config.starttls and has_leaf, mechanisms, config.cleartext, verify=config.verify)
        doors.append(Door(placed(machine, endpoints(kind, texts)), offer, reception))

    def know(other: Directory) -> None:
        directory.become(other)
        authenticator.accounts = other.accounts

    service: Any = SMTPService(machine, doors, queue, store, smtp, connections, config.grace, policies)
    service.know = know
    made: IService = service
    return made


class _Fetcher:
    """Gets MTA-STS policies (RFC 8461 §3.3): without redirects."""

    def __init__(self, machine: Machine, limits: STSLimits) -> None:
        self._machine = machine
        self._options = ClientOptions(timeout=limits.fetch_seconds, http=HTTPLimits(body=limits.octets))

    async def __call__(self, url: str) -> str:
        try:
            found = await fetch(self._machine, url, options=self._options)
        except FetchError as error:
            wrong = error.kind is ErrorType.TLS_CERTIFICATE_ERROR
            raise NoPolicy(str(error), "sts-webpki-invalid" if wrong else "sts-policy-fetch-error") from None
        media = next((value.lower() for name, value in found.fields if name.lower() == "content-type"), "")
        if found.status != 200 or not media.startswith("text/plain"):
            raise NoPolicy(f"{url}: {found.status}, or no plain text")
        return found.body.decode("ascii", "replace")


def _parsed(key: str, parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _signing_key(domain: str, selector: str, pem: str) -> SigningKey:
    key = load_pem_private_key(pem.encode(), None)
    if not isinstance(key, PrivateKey):
        raise ValueError(f"the key of {selector} for {domain} is neither RSA nor Ed25519")
    return SigningKey(canonical_domain(domain), selector, key)


def _mailbox(text: str) -> Mailbox | None:
    return parse_mailbox(text, utf8=True) if text else None


class Options(ResolvingOptions):
    """The command line of `twistd netstack-smtp`."""

    synopsis = "--domain NAME... [--accounts FILE] [--listen ENDPOINT]... [--submission ENDPOINT]... [options]"
    longdesc = (
        "Takes mail for the domains of --domain, and for everybody from users who log in. Without --listen: tcp:25, but"
        " nothing where only --submission is given, and no --domain."
    )
    optFlags = [
        ["cleartext", None, "Take log-ins without TLS, too."],
        ["any-sender", None, "Who has logged in may write in anybody's name."],
        ["any-author", None, "The same, but that the envelope's sender is an address of his own."],
        ["verify", None, "VRFY says who is here."],
        ["hello", None, "Say HELO to other servers, and use no extension."],
        ["chunking", None, "Send by BDAT where the other server takes it."],
        ["no-dane", None, "Ask for no TLSA records."],
        ["no-mta-sts", None, "Ask for no MTA-STS policies."],
        ["no-authentication", None, "Look at neither SPF nor DKIM nor DMARC of what comes in."],
        ["no-dmarc", None, "Take what a domain wants refused."],
        ["no-starttls", None, "Neither offer STARTTLS nor use it."],
    ]
    optParameters = [
        ["accounts", None, None, "File with a line for each account (netstack mail account)."],
        ["aliases", None, None, "File with lines ADDRESS: TARGET[, TARGET]..."],
        ["catch-all", None, None, "Address that gets what nobody here has the address of."],
        ["grace", None, 5.0, "Seconds that connections get to end when the service stops.", number("grace", float)],
        *parameters(ROWS),
    ]

    def __init__(self) -> None:
        self.domains: list[str] = []
        self.submission: list[str] = []
        self.relays: list[str] = []
        self.routes: list[str] = []
        self.dkim: list[tuple[str, str, str]] = []
        super().__init__()

    def opt_domain(self, name: str) -> None:
        """A domain whose mail is taken; may be repeated."""
        self.domains.append(name)

    def opt_submission(self, endpoint: str) -> None:
        """Where users send from, tcp:587 or tls:465; may be repeated."""
        self.submission.append(endpoint)

    def opt_relay_for(self, network: str) -> None:
        """A network whose hosts may send to anybody without logging in; may be repeated [default: none]."""
        self.relays.append(network)

    def opt_route(self, text: str) -> None:
        """Where mail for a domain goes, DOMAIN=HOST[:PORT]; .DOMAIN is all below it, * all others. May be repeated."""
        self.routes.append(text)

    def opt_dkim(self, text: str) -> None:
        """Sign the users' mail, DOMAIN:SELECTOR=FILE of a private key in PEM; may be repeated."""
        name, _, path = text.partition("=")
        domain, colon, selector = name.partition(":")
        try:
            pem = Path(path).read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise usage.UsageError(f"--dkim {path}: {reason(error)}") from None
        if not colon or not selector:
            raise usage.UsageError(f"--dkim {name}: expected DOMAIN:SELECTOR=FILE")
        self.dkim.append((domain, selector, pem))

    def postOptions(self) -> None:
        super().postOptions()
        config = self.config()
        secure = any(text.startswith("tls") for text in (*config.listen, *config.submission))
        if self["certificate"] is None and secure:
            raise usage.UsageError("a tls endpoint needs --certificate and --key")

    def config(self) -> Config:
        """The configuration; raises UsageError."""
        try:
            return Config(
                tuple(self.domains),
                tuple(_lines("accounts", self["accounts"])),
                tuple(_lines("aliases", self["aliases"])),
                tuple(self.listen) or (LISTEN if self.domains or not self.submission else ()),
                tuple(self.submission),
                tuple(self.relays),
                bool(self["cleartext"]),
                bool(self["any-sender"]),
                bool(self["any-author"]),
                bool(self["verify"]),
                tuple(self.routes),
                bool(self["hello"]),
                bool(self["chunking"]),
                starttls=not self["no-starttls"],
                dane=not self["no-dane"],
                mta_sts=not self["no-mta-sts"],
                authentication=not self["no-authentication"],
                dmarc=not self["no-dmarc"],
                dkim=tuple(self.dkim),
                catch_all=self["catch-all"] or "",
                grace=self["grace"],
                smtp=given(ROWS, SMTP, self),
                queue=given(ROWS, QUEUE, self),
                spool=given(ROWS, SPOOL, self),
                reception=given(ROWS, RECEPTION, self),
                credentials=given(ROWS, CREDENTIALS, self),
                addresses=given(ROWS, ADDRESSES, self),
                heads=given(ROWS, HEADS, self),
                mime=given(ROWS, MIME, self),
                authenticating=given(ROWS, AUTHENTICATING, self),
                spf=given(ROWS, SPF, self),
                admission=given(ROWS, ADMISSION, self),
                sts=given(ROWS, STS, self),
                courier=given(ROWS, COURIER, self),
                store=given(ROWS, STORE, self),
                addressing=given(ROWS, DIRECTORY, self),
                connections=given(ROWS, CONNECTIONS, self),
            )
        except ValueError as error:
            raise usage.UsageError(str(error)) from None


def _lines(option: str, path: str | None) -> Iterable[str]:
    if path is None:
        return ()
    try:
        return Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--{option} {path}: {reason(error)}") from None


def makeService(options: Options) -> IService:
    """For twistd."""
    machine = options.machine()
    options.hold_state(machine)
    service: Any = built(lambda: build(options.config(), machine))
    log = Logger()

    def reload() -> None:
        try:
            directory = options.config().directory
            options.renew_certificate(machine)
        except usage.UsageError as error:
            log.error("{error}; what was read before holds", error=error)
        else:
            service.know(directory)
            log.info("{name} has read its accounts, aliases and certificate again", name=machine.name)

    signals: Any = Signals(machine.reactor, {SIGHUP: reload})
    signals.setServiceParent(service)
    return options.with_health(service, machine)
