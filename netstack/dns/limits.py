"""Bounds of the DNS servers; every one is a field of a tap's configuration. Times in seconds, sizes in octets."""

from dataclasses import dataclass

from netstack.sansio.bounds import all_positive


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one server grants its clients."""

    udp_payload: int = 1232
    """The largest UDP message sent and announced by EDNS(0)."""
    udp_buffer: int = 1024 * 1024
    """Octets of queries that may wait in the system while the server is busy; 0 is the system's default."""
    tcp_connections: int = 10_000
    """Open at once."""
    tcp_idle: float = 10.0
    """Without a whole query (RFC 7766 §6.2.3): a client that sends an octet now and then does not stay longer."""
    tcp_pipeline: int = 64
    """Queries of one connection in hand; more wait unread."""
    compiled_bytes: int = 64 * 1024 * 1024
    """Replies kept compiled for each datagram socket, estimated; what was not asked for of late is compiled anew."""

    client_rate: float = 0.0
    """Queries of one client's address in a second; 0 is no limit. One more is dropped, over TCP refused."""
    response_rate: float = 0.0
    """Equal replies to one network (/24, /56) in a second, over UDP and to those without our cookie; 0 is no limit."""
    response_window: float = 15.0
    """Seconds for which a network that goes on is remembered at most."""
    response_slip: int = 2
    """Of the replies that are held back, each such one is sent with TC instead; 1 is all."""
    cookie_rotation: float = 86400.0
    """A new secret for cookies after so long; the one before it stays good until the next."""

    def __post_init__(self) -> None:
        all_positive(self, or_none=("client_rate", "response_rate", "udp_buffer"))
        if not 512 <= self.udp_payload <= 65535:  # RFC 6891 §6.2.5
            raise ValueError(f"udp_payload: expected 512 to 65535, got {self.udp_payload}")


@dataclass(frozen=True, slots=True)
class ResolverLimits:
    """What one question may cost and how much is remembered."""

    cache_entries: int = 100_000
    cache_bytes: int = 64 * 1024 * 1024
    """Estimated, keys and records included."""
    max_ttl: int = 7 * 86400
    max_negative_ttl: int = 3 * 3600
    resolutions: int = 2000
    """Questions under way at once, those about name servers included; one more that is not in the cache is SERVFAIL."""
    clients: int = 10_000
    """Clients waiting at once; one more is SERVFAIL."""
    queries: int = 64
    """Queries sent for one question of a client, those about name servers included."""
    aliases: int = 12
    """CNAME records followed for one question."""
    depth: int = 6
    """Questions about name servers within questions about name servers."""
    glueless: int = 4
    """Name servers without an address that are looked up for one delegation (against NXNSAttack)."""
    hosts: int = 16
    """Name servers that are looked up for one question of a client, over all delegations (against NXNSAttack)."""
    attempts: int = 3
    """Rounds over the servers of one zone."""
    first_timeout: float = 1.0
    """For a server of which no round-trip time is known; doubled by each round."""
    max_timeout: float = 4.0
    deadline: float = 15.0
    """For one question, whatever it waits for."""
    forged: int = 20
    """Replies that do not match (id, question) to one query; then it is asked over TCP (RFC 5452 §9.1)."""
    sockets: int = 1000
    """Queries in flight at once, each on a socket of its own; one more fails."""
    streams: int = 100
    """TCP and TLS connections to servers, open at once; one more fails unless one rests."""
    stream_pipeline: int = 100
    """Queries in hand on one of them."""
    stream_idle: float = 10.0
    """A connection without queries is kept for so long."""
    https_queries: int = 32
    """In hand to one server that is asked over HTTPS; more wait."""
    probe_persistence: float = 3 * 86400.0
    """A server that was asked over TLS by itself is so again for so long (RFC 9539 §4.2)."""
    probe_damping: float = 86400.0
    """One that could not be is not probed again for so long."""
    lame_time: float = 60.0
    """A server that does not serve a zone is not asked for it again for so long."""
    minimised: int = 10
    """Queries for a part of a name, for one question (RFC 9156 §2.3)."""
    stale_time: float = 86400.0
    """What has expired is kept so much longer, for want of something better (RFC 8767 §5)."""
    stale_ttl: int = 30
    """TTL of what has expired."""
    stale_wait: float = 1.8
    """A client is given what has expired when there is no answer after so long."""
    failure_time: float = 5.0
    """A question that failed is not tried again for so long (RFC 9520 §3.2); doubled by each further failure."""
    failure_longest: float = 300.0
    failure_entries: int = 10_000
    """Failed questions remembered."""
    denials: int = 10_000
    """Validated denials that are kept for aggressive use (RFC 8198), their SOA records and wildcards included."""
    prefetch_part: float = 0.1
    """Asked again in this last part of its TTL: when a client asks for it, and not for the first time."""
    prefetches: int = 100
    """Questions asked again at once."""

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(frozen=True, slots=True)
class ZoneLimits:
    """What primaries and secondaries spend on zones that change."""

    differences: int = 1000
    """Of one zone that are remembered for IXFR; who is further behind gets the whole zone."""
    difference_records: int = 100_000
    """Records in them."""
    transfers_out: int = 10
    """Under way at once; one more is REFUSED."""
    transfers_in: int = 10
    """Under way at once; others wait."""
    transfer_records: int = 10_000_000
    """Records of a transfer in; a primary that sends more is left."""
    transfer_idle: float = 60.0
    """Between two messages of a transfer in."""
    transfer_time: float = 7200.0
    """For a whole transfer in."""
    patience: float = 2.0
    """For the reply to a SOA query or NOTIFY, doubled by each attempt."""
    attempts: int = 4
    """Times that one is sent."""
    least_refresh: float = 1.0
    """Least time between two checks of a primary, whatever the SOA says."""
    first_retry: float = 1.0
    """After the first failure of a secondary without a zone; doubled by each further one."""
    most_retry: float = 600.0
    """Longest time between two attempts of a secondary without a zone."""
    updates: int = 1000
    """Updates that wait for the disk; one more is SERVFAIL."""

    def __post_init__(self) -> None:
        all_positive(self)
