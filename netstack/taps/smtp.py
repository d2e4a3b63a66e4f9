"""netstack-smtp: a mail host that takes mail for its domains, sends its users' mail, and loses none (RFC 5321, RFC 6409)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.application.service import IService
from twisted.python import usage

from netstack.http.client import ClientOptions, fetch
from netstack.http.faults import ErrorType
from netstack.http.limits import HTTPLimits
from netstack.http.links import FetchError
from netstack.kernel.limits import StreamLimits
from netstack.kernel.machine import Machine
from netstack.kernel.metrics import traffic
from netstack.mail.accounts import Accounts
from netstack.mail.addresses import Mailbox, canonical_domain, parse_mailbox
from netstack.mail.credentials import Authenticator, CredentialLimits
from netstack.mail.store import MailStore, StoreLimits
from netstack.smtp.admission import Admission, AdmissionLimits
from netstack.smtp.authentication.checks import AuthenticationLimits, Signing, SigningKey, Verifying
from netstack.smtp.authentication.dkim import PrivateKey
from netstack.smtp.courier import Courier, CourierOptions
from netstack.smtp.dialogue import PROTOCOL
from netstack.smtp.directory import Directory, parse_aliases, parse_domains
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
from netstack.smtp.tlspolicy import Policies
from netstack.taps.bounds import Row, given, number, parameters
from netstack.taps.resolving import ResolvingOptions
from netstack.taps.standalone import built, endpoints, networks, placed, reason

__all__ = ["Config", "Options", "build", "makeService"]
MECHANISMS = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")
LISTEN = ("tcp:25",)
_SMTP, _QUEUE, _SPOOL, _RECEPTION = SMTPLimits(), QueueLimits(), SpoolLimits(), ReceptionLimits()
_AUTHENTICATING, _ADMISSION, _STS = AuthenticationLimits(), AdmissionLimits(), STSLimits()
_CREDENTIALS, _STORE, _CONNECTIONS = CredentialLimits(), StoreLimits(), StreamLimits(connections=1000, idle=900.0)


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
    smtp: SMTPLimits = _SMTP
    queue: QueueLimits = _QUEUE
    spool: SpoolLimits = _SPOOL
    reception: ReceptionLimits = _RECEPTION
    credentials: CredentialLimits = _CREDENTIALS
    authenticating: AuthenticationLimits = _AUTHENTICATING
    admission: AdmissionLimits = _ADMISSION
    sts: STSLimits = _STS
    store: StoreLimits = _STORE
    connections: StreamLimits = _CONNECTIONS

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
        return Directory(accounts, domains | accounts.domains, aliases, catch_all=catch_all)

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
    courier = Courier(
        machine,
        CourierOptions(
            machine.name, own_names, config.by_hand, config.starttls and not config.hello, not config.hello, config.chunking,
            smtp=config.smtp,
        ),
        traffic(machine.registry, PROTOCOL, "client"),
        policies,
    )  # fmt: skip
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
            checks.append(Verifying(machine, machine.name, config.dmarc, config.authenticating))
        elif kind == "submission" and config.dkim:
            checks.append(Signing(machine, config.signing_keys))
        admission = Admission(machine, config.admission)
        straight = Straight(directory, store)
        reception = Reception(machine, options, directory, queue, authenticator, counts, checks, admission, straight)
        mechanisms = MECHANISMS if kind == "submission" else ()
        offer = Offer(machine.name, config.starttls and has_leaf, mechanisms, config.cleartext, verify=config.verify)
        doors.append(Door(placed(machine, endpoints(kind, texts)), offer, reception))
    service: Any = SMTPService(machine, doors, queue, store, config.smtp, config.connections, config.grace, policies)
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


_ROWS: tuple[Row, ...] = (
    ("max-message", _SMTP, "message", "Octets of a message (552)."),
    ("max-recipients", _SMTP, "recipients", "Recipients of a message (452)."),
    ("max-messages", _SMTP, "messages", "Messages of one connection (421)."),
    ("max-errors", _SMTP, "errors", "Refusals on one connection (421)."),
    ("max-idle-commands", _SMTP, "idle_commands", "Commands of one connection without a message between them (421)."),
    ("max-line", _SMTP, "command_line", "Octets of a command (500)."),
    ("max-auth-line", _SMTP, "auth_line", "Octets of AUTH and of answers to its challenges (500)."),
    ("max-text-line", _SMTP, "text_line", "Octets of a line of a message (554)."),
    ("buffered", _SMTP, "buffered", "Octets of pipelined input that wait; then reading stops."),
    ("command-seconds", _SMTP, "command_seconds", "Time for the next command (421)."),
    ("data-seconds", _SMTP, "data_seconds", "Time for more of a message (421)."),
    ("message-seconds", _SMTP, "message_seconds", "Time for a whole message (421)."),
    ("max-reply-line", _SMTP, "reply_line", "Octets of a line of another server's reply."),
    ("max-reply-lines", _SMTP, "reply_lines", "Lines of one of its replies."),
    ("reply-seconds", _SMTP, "greeting_seconds", "Time for its greeting and replies."),
    ("final-seconds", _SMTP, "final_seconds", "Time for its reply to a whole message."),
    ("first-retry", _QUEUE, "first_retry", "Seconds from the first attempt to the second."),
    ("retry-growth", _QUEUE, "growth", "A pause to the one before it."),
    ("longest-retry", _QUEUE, "longest_retry", "Longest such pause."),
    ("retry-jitter", _QUEUE, "jitter", "Part of a pause by which it varies."),
    ("delay-notice", _QUEUE, "delay_notice", "Age of a message at which its sender is told that it waits, seconds."),
    ("lifetime", _QUEUE, "lifetime", "Age at which it is given up, seconds."),
    ("report-lifetime", _QUEUE, "report_lifetime", "The same for reports."),
    ("per-destination", _QUEUE, "per_destination", "Connections to one domain at once."),
    ("client-connections", _QUEUE, "connections", "Connections to all domains at once."),
    ("local-deliveries", _QUEUE, "local", "Messages on their way into mailboxes at once."),
    ("per-connection", _QUEUE, "per_connection", "Messages of one connection to another server."),
    ("keep-connection", _QUEUE, "keep", "Seconds that it waits for more of them."),
    ("returned", _QUEUE, "returned", "Octets of a message that a report brings back whole."),
    ("segment", _SPOOL, "segment", "Octets of one file of the queue."),
    ("spool-waiting", _SPOOL, "waiting", "Octets of messages that wait to be written (452)."),
    ("spool-together", _SPOOL, "together", "Records of one write."),
    ("queue-messages", _SPOOL, "messages", "Messages in the queue (452)."),
    ("queue-octets", _SPOOL, "octets", "Octets of all its files (452)."),
    ("incoming-memory", _RECEPTION, "memory", "Octets of messages that are coming in (452)."),
    ("max-hops", _RECEPTION, "hops", "Received fields of a message (554)."),
    ("verifying", _CREDENTIALS, "verifying", "Passwords being verified at once (454)."),
    ("client-rate", _ADMISSION, "client_rate", "Messages of one client's network in a minute (450); 0 for any number."),
    ("account-rate", _ADMISSION, "account_rate", "Recipients of one account's mail in a minute (450); 0 for any number."),
    ("greylist", _ADMISSION, "greylist_seconds", "Seconds that strangers are sent away for (450); 0 is none."),
    ("greylist-kept", _ADMISSION, "greylist_kept", "Seconds that who came again is known."),
    ("signatures", _AUTHENTICATING, "signatures", "DKIM signatures of a message that are looked at."),
    ("sts-policies", _STS, "policies", "Domains whose MTA-STS policy is kept."),
    ("sts-octets", _STS, "octets", "Octets of an MTA-STS policy."),
    ("sts-fetch-seconds", _STS, "fetch_seconds", "Seconds that fetching one may take."),
    ("sts-refresh", _STS, "refresh", "Age in seconds at which one in use is fetched again."),
    ("sts-pause", _STS, "pause", "Seconds after a fetch that failed."),
    ("sts-together", _STS, "together", "MTA-STS policies that are fetched again at once."),
    ("store-message", _STORE, "message", "Octets of a message in a mailbox."),
    ("store-octets", _STORE, "octets", "Octets of a mailbox that has no quota of its own (452)."),
    ("store-messages", _STORE, "messages", "Messages of a mailbox that has no quota of its own (452)."),
    ("store-inline", _STORE, "inline", "Octets up to which messages are committed together with their rows."),
    ("store-unsettled", _STORE, "unsettled", "Octets of those that are not in files of their own yet."),
    ("store-settle", _STORE, "settle_seconds", "Seconds that they wait for others."),
    ("store-waiting", _STORE, "waiting", "Deliveries to one account that wait."),
    ("store-accounts", _STORE, "accounts", "Accounts whose index is open at once."),
    ("store-folders", _STORE, "folders", "Folders of an account."),
    ("store-name", _STORE, "name", "Octets of a folder's name."),
    ("store-keywords", _STORE, "keywords", "Keywords of a message."),
    ("store-remembered", _STORE, "remembered", "Deliveries of an account that are known again."),
    ("store-vanished", _STORE, "vanished", "Expunged messages of a folder that are remembered."),
    ("store-index", _STORE, "index", "Octets of an account's index."),
    ("store-ledger", _STORE, "ledger", "Octets of a ledger that are not needed."),
    ("max-connections", _CONNECTIONS, "connections", "Connections open at once."),
    ("idle", _CONNECTIONS, "idle", "Seconds without an octet either way."),
)


class Options(ResolvingOptions):
    """The command line of `twistd netstack-smtp`."""

    synopsis = "--domain NAME... [--accounts FILE] [--listen ENDPOINT]... [--submission ENDPOINT]... [options]"
    longdesc = "Takes mail for the domains of --domain, and for everybody from users who log in. Without --listen: tcp:25."
    optFlags = [
        ["cleartext", None, "Take log-ins without TLS, too."],
        ["any-sender", None, "Who has logged in may write in anybody's name."],
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
        *parameters(_ROWS),
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
                tuple(self.listen) or LISTEN,
                tuple(self.submission),
                tuple(self.relays),
                bool(self["cleartext"]),
                bool(self["any-sender"]),
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
                smtp=given(_ROWS, _SMTP, self),
                queue=given(_ROWS, _QUEUE, self),
                spool=given(_ROWS, _SPOOL, self),
                reception=given(_ROWS, _RECEPTION, self),
                credentials=given(_ROWS, _CREDENTIALS, self),
                authenticating=given(_ROWS, _AUTHENTICATING, self),
                admission=given(_ROWS, _ADMISSION, self),
                sts=given(_ROWS, _STS, self),
                store=given(_ROWS, _STORE, self),
                connections=given(_ROWS, _CONNECTIONS, self),
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
    return options.with_health(built(lambda: build(options.config(), machine)), machine)
