"""netstack-ring: a node of the chapter's circle of peers, a distributed hash table (Chord)."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from netstack.http.application import ApplicationLimits, ApplicationServer
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import requests
from netstack.http.service import HTTPService
from netstack.kernel.listen import Endpoint
from netstack.kernel.machine import Machine
from netstack.ring.credentials import Renewal
from netstack.ring.disk import LogLimits, RecordLog
from netstack.ring.engine import RingOptions
from netstack.ring.gateway import Gateway, GatewayOptions
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.identifiers import place as place_of
from netstack.ring.identity import PROFILES, Certified
from netstack.ring.issuer import IssuerLimits
from netstack.ring.joining import Joining
from netstack.ring.links import LinkLimits
from netstack.ring.metrics import ring_counts
from netstack.ring.peer import Peer
from netstack.ring.records import DataOptions
from netstack.ring.service import RingService
from netstack.ring.stream import StreamBounds
from netstack.ring.wire import Codec, WireLimits, is_place
from netstack.sansio.bounds import positive
from netstack.taps.bounds import Row, given, number, parameters
from netstack.taps.resolving import ResolvingOptions
from netstack.taps.ring_identity import HASHED, authenticated, issuing
from netstack.taps.standalone import built, endpoints, networks, placed, reason

LISTEN = ("tcp:4160",)
_RING, _DATA, _LINKS, _WIRE = RingOptions(successors=4, hurry=1 / 16), DataOptions(), LinkLimits(), WireLimits()
_BOUNDS, _JOINING, _LOG = StreamBounds(), Joining(), LogLimits()
_RENEWAL, _ISSUING = Renewal(), IssuerLimits()
CONNECTIONS = 2000
NETWORK = "ring"
ALLOW = ("127.0.0.0/8", "::1/128")
_WEB = HTTPLimits()


@dataclass(frozen=True, slots=True)
class Config:
    """Where a node lies, listens and joins. Raises ValueError that names the field and what was expected."""

    listen: tuple[str, ...] = LISTEN
    """Endpoints with standard ports: `build` puts `machine.port()` over them."""
    bits: int = 160
    """Of identifiers."""
    ident: int = HASHED
    """The node's; by itself the hash of its contact, or what its certificate says."""
    identity: str = "hashed"
    """Under TLS: "hashed", the identifier is that of the node's key; "given", the one that its certificate is for."""
    authorities: str = ""
    """Those whose certificates nodes have, PEM; by itself those that the machine trusts."""
    issuer: str = ""
    """URL of the issuer that this node gets its certificate from."""
    token: str = field(default="", repr=False)
    """What it shows the issuer."""
    renewal: Renewal = _RENEWAL
    issue: tuple[str, ...] = ()
    """Where this node is an issuer for others: `tls` endpoints, with the machine's own certificate."""
    issue_only: bool = False
    """It is an issuer and no node."""
    issue_authority: tuple[str, ...] = field(default=(), repr=False)
    """The certificate and the key that an issuer signs with, PEM."""
    issue_tokens: str = field(default="", repr=False)
    """A line for each token."""
    issuing: IssuerLimits = _ISSUING
    network: str = NETWORK
    """Circles of one width are told apart by it."""
    contact: str = ""
    """HOST:PORT at which others reach it; by itself the machine's first address and the first endpoint's port."""
    join: tuple[str, ...] = ()
    """HOST:PORT of nodes to join through."""
    begin: bool = False
    """It begins a circle where none of these has a place on one."""
    begin_first: bool = False
    """The same, if it is itself the first of `join`: so several can have one command line."""
    shortcuts: tuple[str, ...] = ()
    """Identifiers to which it has shortcuts, as the chapter draws them; beside the finger table, if it has that."""
    journal_upkeep: bool = False
    """The journal has also pings and look-ups for shortcuts."""
    leave: float = 10.0
    """Seconds to hand over what it has when it stops."""
    patience: float = 60.0
    """Seconds for what is asked of it."""
    ring: RingOptions = _RING
    data: DataOptions = _DATA
    log: LogLimits = _LOG
    links: LinkLimits = _LINKS
    bounds: StreamBounds = _BOUNDS
    wire: WireLimits = _WIRE
    joining: Joining = _JOINING
    connections: int = CONNECTIONS
    """Open at once."""
    http: tuple[str, ...] = ()
    """Endpoints of the gateway, `tcp` or `tls`; none without any."""
    allow: tuple[str, ...] = ALLOW
    """Networks of its clients."""
    names: tuple[str, ...] = ()
    """Hosts' names that it answers to, beside the machine's."""
    web: HTTPLimits = _WEB

    def __post_init__(self) -> None:
        for endpoint in endpoints("listen", self.listen):
            if endpoint.kind == "udp":
                raise ValueError(f"listen: {endpoint} is a datagram endpoint; expected tcp or tls")
        if len({endpoint.kind for endpoint in endpoints("listen", self.listen)}) > 1:
            raise ValueError("listen: expected tcp or tls alone: a node has TLS with all others or with none")
        if self.identity not in PROFILES:
            raise ValueError(f"identity: expected one of {', '.join(PROFILES)}, got {self.identity!r}")
        if self.is_secure and self.identity == "hashed" and self.ident != HASHED:
            raise ValueError("ident: with hashed identity it follows from the node's key; expected none, or identity given")
        for endpoint in endpoints("http", self.http) if self.http else ():
            if endpoint.kind == "udp":
                raise ValueError(f"http: {endpoint} is a datagram endpoint; expected tcp or tls")
        networks("allow", self.allow)
        self._check_issuer()
        circle = Circle(self.bits)
        if self.ident != HASHED and not 0 <= self.ident < circle.size:
            raise ValueError(f"ident: expected a number from 0 to {circle.size - 1}, got {self.ident}")
        if not 0 < len(self.network) <= 80 or not self.network.isprintable():
            raise ValueError(f"network: expected a name of at most 80 characters, got {self.network!r}")
        for key, places in (("contact", (self.contact,) if self.contact else ()), ("join", self.join)):
            for place in places:
                if not is_place(place):
                    raise ValueError(f"{key}: expected HOST:PORT, an IPv6 address in brackets, got {place!r}")
        if (self.begin or self.begin_first) and not self.join:
            raise ValueError("begin: expected nodes to join through (join); without them a node begins a circle anyway")
        _ = self.by_hand
        for key in ("leave", "patience", "connections"):
            positive(key, getattr(self, key))
        if self.data.copies > self.ring.successors + 1:
            raise ValueError(
                f"copies: expected at most {self.ring.successors + 1}, one more than the successors, got {self.data.copies}"
            )
        least = self.data.record_octets + 65536
        if self.wire.frame < least:
            raise ValueError(f"frame: expected at least {least}, a record and what belongs to it, got {self.wire.frame}")

    def _check_issuer(self) -> None:
        if bool(self.issuer) != bool(self.token):
            raise ValueError("issuer: expected a token, too (token), and a token is for an issuer alone")
        if self.issuer and not self.issuer.startswith("https://"):
            raise ValueError(f"issuer: expected a URL that begins with https://, got {self.issuer!r}")
        if self.issuer and not self.is_secure:
            raise ValueError("issuer: a certificate is for tls endpoints; expected --listen tls:PORT")
        if self.issuer and self.identity == "given" and self.ident == HASHED:
            raise ValueError("ident: expected the identifier that the token is for")
        for endpoint in endpoints("issue", self.issue) if self.issue else ():
            if endpoint.kind != "tls":
                raise ValueError(f"issue: a token must not cross the network in the clear; expected tls, got {endpoint}")
        if self.issue_only and not self.issue:
            raise ValueError("issue_only: expected endpoints of the issuer (issue)")
        if self.issue and (len(self.issue_authority) != 2 or not self.issue_tokens.strip()):
            raise ValueError(
                "issue: expected the authority's certificate and key, and tokens (issue-ca, issue-key, issue-tokens)"
            )

    @property
    def is_secure(self) -> bool:
        """Whether nodes show each other certificates."""
        return endpoints("listen", self.listen)[0].kind == "tls"

    @property
    def by_hand(self) -> tuple[int, ...]:
        """Identifiers of shortcuts; raises ValueError."""
        try:
            found = tuple(int(text, 0) for text in self.shortcuts)
        except ValueError:
            raise ValueError(f"shortcuts: expected identifiers such as 12, got {', '.join(self.shortcuts)}") from None
        if any(not 0 <= each < 1 << self.bits for each in found):
            raise ValueError(
                f"shortcuts: expected numbers from 0 to {(1 << self.bits) - 1}, got {', '.join(self.shortcuts)}"
            )
        return found


def build(config: Config, machine: Machine) -> IService:
    """The service: a RingService, or an issuer alone."""
    if config.issue_only:
        return _issuer(config, machine)
    bound = placed(machine, endpoints("listen", config.listen))
    place = config.contact or _place(bound[0])
    circle = Circle(config.bits)
    plain, counts = machine, ring_counts(machine.registry)
    ident, identity, credentials = config.ident, None, None
    if config.is_secure:
        identity = _certified(config)
        found = authenticated(
            machine, identity, ident, config.authorities, counts, config.issuer, config.token, config.renewal
        )
        machine, ident, credentials = found.machine, found.ident, found.credentials
    elif ident == HASHED:
        ident = circle.of(place.encode())
    me = Contact(ident, place)
    log = RecordLog(machine, config.log, config.data.tombstone)
    service: Any = RingService(
        machine,
        lambda kept: Peer(circle, me, config.ring, config.data, machine.rng, kept),
        Codec.of(circle, config.wire),
        config.network,
        bound,
        counts,
        replace(config.joining, through=config.join, begin=config.begin or (config.begin_first and config.join[0] == place)),
        config.links,
        config.bounds,
        replace(machine.limits, connections=config.connections, idle=max(300.0, 2 * config.bounds.idle_seconds)),
        keeper=log,
        identity=identity,
        credentials=credentials,
        by_hand=config.by_hand,
        journal_upkeep=config.journal_upkeep,
        leave=config.leave,
        patience=config.patience,
    )
    log.held = lambda: (held.record(machine.reactor.seconds()) for held in service.peer.table)
    if config.http:
        gateway = Gateway(service, GatewayOptions(networks("allow", config.allow), config.names))
        application = ApplicationServer(gateway, (machine.name,), ApplicationLimits(), requests(plain.registry), None)
        where = placed(plain, endpoints("http", config.http))
        limits = replace(config.web, body=max(config.web.body, config.data.value_octets))
        web: Any = HTTPService(plain, where, application, limits, plain.limits, "netstack")
        web.setServiceParent(service)
    if config.issue:
        issuer: Any = _issuer(config, plain)
        issuer.setServiceParent(service)
    made: IService = service
    return made


def _issuer(config: Config, machine: Machine) -> IService:
    at = placed(machine, endpoints("issue", config.issue))
    return issuing(machine, at, _certified(config), config.issue_authority, config.issue_tokens, config.issuing)


def _certified(config: Config) -> Certified:
    return Certified(Circle(config.bits), config.network, "given" if config.identity == "given" else "hashed")


def _place(endpoint: Endpoint) -> str:
    """Where others reach an endpoint; raises ValueError where that does not follow from it."""
    if endpoint.port == 0 or endpoint.interface in ("", "0.0.0.0", "::"):  # noqa: S104  compared, not bound
        raise ValueError(f"contact: expected HOST:PORT, for nobody can be told to connect to {endpoint}")
    return place_of(endpoint.interface, endpoint.port)


_ROWS: tuple[Row, ...] = (
    ("successors", _RING, "successors", "Next nodes that are known."),
    ("stabilize", _RING, "stabilize", "Seconds between two looks at the successor, the chapter's ping."),
    ("fix", _RING, "fix", "Seconds between two looks at one shortcut, in turn."),
    ("spread", _RING, "spread", "Part of these two by which each pause varies."),
    ("hurry", _RING, "hurry", "Part of --stabilize until the next look when neighbours have changed; 1 is no hurry."),
    ("calm", _RING, "calm", "Times as long that pauses get while nothing changes, at most; 1: they stay as they are."),
    ("timeout", _RING, "timeout", "Seconds for a node's answer; then it is gone."),
    ("max-hops", _RING, "hops", "Nodes asked in one look-up."),
    ("max-lookups", _RING, "lookups", "Look-ups under way at once."),
    ("candidates", _RING, "candidates", "Nodes that an answer names."),
    ("max-named", _RING, "named", "Nodes in one list of a message."),
    ("paths", _RING, "paths", "Ways without a common node that a look-up goes at once."),
    ("lookup-patience", _RING, "patience", "Seconds for a look-up."),
    ("recursive", _RING, "recursive", "Seconds for a look-up that is passed on."),
    ("forget", _RING, "forget", "Seconds for which a node that did not answer is left out."),
    ("max-silent", _RING, "silent", "Such nodes that are kept in mind."),
    ("rejoin", _RING, "rejoin", "Seconds between two looks for a node that was lost; 0 for never."),
    ("max-lost", _RING, "lost", "Such nodes that are kept in mind."),
    ("copies", _DATA, "copies", "Copies of each key; the same at all nodes, as are the other options of data."),
    ("write-quorum", _DATA, "write_quorum", "Copies that are durable before a write is answered; 0: the majority."),
    ("read-quorum", _DATA, "read_quorum", "Copies that agree before a read is answered; 0: the majority."),
    ("ttl", _DATA, "ttl", "Seconds that a value lives that is put without a time; inf: until it is removed."),
    ("tombstone", _DATA, "tombstone", "Seconds for which it is known that a value was removed."),
    ("lateness", _DATA, "lateness", "The same of one that expired."),
    ("max-key", _DATA, "key_octets", "Octets of a key."),
    ("max-value", _DATA, "value_octets", "Octets of a value."),
    ("max-values", _DATA, "values", "Values of one key."),
    ("max-record", _DATA, "record_octets", "Octets of all values of one key."),
    ("max-keys", _DATA, "keys", "Keys at this node, copies included."),
    ("max-octets", _DATA, "octets", "Octets of keys and values at this node."),
    ("max-requests", _DATA, "requests", "Operations under way at once; as many again for other nodes."),
    ("data-timeout", _DATA, "timeout", "Seconds for another node's answer about data."),
    ("data-deadline", _DATA, "deadline", "Seconds for a whole operation with all its attempts."),
    ("data-again", _DATA, "again", "Seconds until its next attempt; they double."),
    ("sync", _DATA, "sync", "Seconds between two comparisons of copies."),
    ("data-patience", _DATA, "patience", "Seconds with holders who are silent."),
    ("max-batch", _DATA, "batch", "Octets of records in one message."),
    ("log-segment", _LOG, "segment", "Octets of the log of records; then a snapshot replaces it."),
    ("log-waiting", _LOG, "waiting", "Octets of changes that wait to be written."),
    ("log-together", _LOG, "together", "Changes of one write."),
    ("log-chunk", _LOG, "chunk", "Records of a snapshot that are written at once."),
    ("log-seen", _LOG, "seen", "Seconds between two notes that the node was up."),
    ("max-links", _LINKS, "links", "Nodes connected to at once; for one more the one used longest ago is parted from."),
    ("per-address", _LINKS, "per_address", "Connections from one address."),
    ("dials", _LINKS, "dials", "Connections from one address in a second."),
    ("waiting", _LINKS, "waiting", "Messages that wait for one node."),
    ("waiting-octets", _LINKS, "waiting_octets", "Octets of all messages that wait."),
    ("dial-seconds", _LINKS, "connect", "Seconds for a connection to another node to be made."),
    ("retry", _LINKS, "retry", "Seconds until a node that could not be reached is tried again."),
    ("silence", _LINKS, "silence", "Seconds without a word before a node that is gone loses its connection, too."),
    ("hello-seconds", _BOUNDS, "hello_seconds", "Seconds for the other side of a connection to say who it is."),
    ("bye-seconds", _BOUNDS, "bye_seconds", "Seconds for it to take its leave."),
    ("idle-seconds", _BOUNDS, "idle_seconds", "Seconds without a message; then a connection is given up."),
    ("rate", _BOUNDS, "rate", "Messages of one connection that are read in a second; more wait."),
    ("renew-part", _RENEWAL, "part", "Part of a certificate's life after which the issuer is asked for a new one."),
    ("renew-retry", _RENEWAL, "retry", "Seconds until it is asked again; they double."),
    ("renew-most-retry", _RENEWAL, "most_retry", "Longest such time."),
    ("renew-timeout", _RENEWAL, "timeout", "Seconds for its answer."),
    ("issue-seconds", _ISSUING, "seconds", "Seconds that a certificate of this issuer lives."),
    ("issue-rate", _ISSUING, "rate", "Requests of one network in a minute (429)."),
    ("issue-request", _ISSUING, "request", "Octets of a request (413)."),
    ("max-frame", _WIRE, "frame", "Octets of a message."),
    ("max-items", _WIRE, "items", "Items of a list in a message."),
    ("join-seconds", _JOINING, "seconds", "Seconds for a node to let this one in."),
    ("join-retry", _JOINING, "retry", "Seconds until all are tried again; they double."),
    ("join-most-retry", _JOINING, "most_retry", "Longest such time."),
)


class Options(ResolvingOptions):
    """The command line of `twistd netstack-ring`."""

    synopsis = "[--listen ENDPOINT]... [--join HOST:PORT]... [--bits N] [--ident N] [options]"
    longdesc = (
        "A node of a circle of peers that keep values under keys. Without --join it begins a circle. Listens on tcp:4160."
    )
    optFlags = [
        ["begin", None, "Begin a circle where none of the nodes of --join has a place on one."],
        ["begin-first", None, "The same, if it is the first of --join itself: so all nodes may have one command line."],
        ["no-shortcuts", None, "Keep no finger table."],
        ["issue-only", None, "Be an issuer and no node."],
    ]
    optParameters = [
        ["bits", None, 160, "Bits of identifiers, 4 to 160; the same at all nodes.", int],
        ["ident", None, None, "This node's identifier, such as 5 or 0x1f [default: the hash of its contact]."],
        ["identity", None, "hashed", "Under TLS: hashed, of the node's key, or given, by its certificate."],
        ["ca", None, None, "PEM file of the authorities of nodes' certificates [default: those of --trust]."],
        [
            "issuer",
            None,
            None,
            "URL of the issuer of this node's certificate, https://HOST:PORT, in place of --certificate.",
        ],
        ["token", None, None, "File with the token for the issuer."],
        ["issue-ca", None, None, "PEM file of the authority that this node signs with as an issuer."],
        ["issue-key", None, None, "PEM file of its key."],
        ["issue-tokens", None, None, "File with a token in each line."],
        ["network", None, NETWORK, "Name of the circle; nodes of others are refused."],
        ["contact", None, None, "HOST:PORT at which others reach this node [default: where it listens]."],
        ["allow", None, ",".join(ALLOW), "Networks of the gateway's clients, with commas between."],
        ["http-name", None, "", "Hosts' names that the gateway answers to, beside this one's, with commas between."],
        ["max-connections", None, CONNECTIONS, "Connections open at once.", int],
        ["leave", None, 10.0, "Seconds to hand over what it has when it stops.", number("leave", float)],
        ["patience", None, 60.0, "Seconds for what is asked of it.", number("patience", float)],
        *parameters(_ROWS),
    ]

    def __init__(self) -> None:
        self.join: list[str] = []
        self.by_hand: list[str] = []
        self.http: list[str] = []
        self.issue: list[str] = []
        super().__init__()

    def opt_join(self, place: str) -> None:
        """A node to join through, HOST:PORT; may be repeated: they are tried in turn."""
        self.join.append(place.lower())

    def opt_http(self, endpoint: str) -> None:
        """Where the gateway listens: KIND:PORT[:interface=ADDRESS], KIND tcp or tls; may be repeated."""
        self.http.append(endpoint)

    def opt_issue(self, endpoint: str) -> None:
        """Where this node issues certificates to joiners, tls:PORT; may be repeated."""
        self.issue.append(endpoint)

    def opt_shortcut(self, idents: str) -> None:
        """Identifiers of nodes that this one has shortcuts to, N[,N...], as the chapter draws them; may be repeated."""
        self.by_hand += filter(None, (each.strip() for each in idents.split(",")))

    def has_certificate(self) -> bool:
        return super().has_certificate() or self["issuer"] is not None

    def postOptions(self) -> None:
        super().postOptions()
        self.config()

    def config(self) -> Config:
        """The configuration; raises UsageError."""
        try:
            return Config(
                listen=tuple(self.listen) or LISTEN,
                bits=self["bits"],
                ident=_identifier(self["ident"]),
                identity=self["identity"],
                authorities=_text("ca", self["ca"]),
                issuer=self["issuer"] or "",
                token=_text("token", self["token"]).strip(),
                renewal=given(_ROWS, _RENEWAL, self),
                issue=tuple(self.issue),
                issue_only=bool(self["issue-only"]),
                issue_authority=tuple(filter(None, (_text(name, self[name]) for name in ("issue-ca", "issue-key")))),
                issue_tokens=_text("issue-tokens", self["issue-tokens"]),
                issuing=given(_ROWS, _ISSUING, self),
                network=self["network"],
                contact=(self["contact"] or "").lower(),
                join=tuple(self.join),
                begin=bool(self["begin"]),
                begin_first=bool(self["begin-first"]),
                shortcuts=tuple(self.by_hand),
                leave=self["leave"],
                patience=self["patience"],
                ring=replace(given(_ROWS, _RING, self), shortcuts=not self["no-shortcuts"]),
                data=given(_ROWS, _DATA, self),
                log=given(_ROWS, _LOG, self),
                links=given(_ROWS, _LINKS, self),
                bounds=given(_ROWS, _BOUNDS, self),
                wire=given(_ROWS, _WIRE, self),
                joining=given(_ROWS, _JOINING, self),
                connections=self["max-connections"],
                http=tuple(self.http),
                allow=tuple(filter(None, self["allow"].split(","))),
                names=tuple(filter(None, self["http-name"].lower().split(","))),
            )
        except ValueError as error:
            raise usage.UsageError(str(error)) from None


def _text(option: str, path: str | None) -> str:
    try:
        return "" if path is None else Path(path).read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--{option} {path}: {reason(error)}") from None


def _identifier(text: str | None) -> int:
    if text is None:
        return HASHED
    try:
        found = int(text, 0)
    except ValueError:
        found = HASHED
    if found < 0:
        raise ValueError(f"ident: expected a number such as 5 or 0x1f, got {text!r}")
    return found


def makeService(options: Options) -> IService:
    """For twistd."""
    machine = options.machine()
    options.hold_state(machine)
    service: Any = built(lambda: build(options.config(), machine))
    return options.with_health(service, machine, getattr(service, "not_ready", tuple))
