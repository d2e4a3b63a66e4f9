"""Bounds of one HTTP connection; every one is an option of the taps that serve HTTP."""

from dataclasses import dataclass

from netstack.sansio.bounds import all_positive


@dataclass(frozen=True, slots=True)
class HTTPLimits:
    """Sizes in octets, times in seconds; what the peer is told when it goes beyond."""

    head: int = 16 * 1024
    """Start line and fields together: 431."""
    target: int = 8000
    """The request target (RFC 9112 §3 recommends at least 8000 for the whole line): 414."""
    fields: int = 100
    """Field lines of one head: 431."""
    body: int = 1024 * 1024
    """A message's content after removal of the transfer coding: 413."""
    chunk_line: int = 256
    """A chunk's size and extensions: 400."""
    buffered: int = 64 * 1024
    """Pipelined input that may wait while a request is in hand; then reading stops."""
    head_seconds: float = 10.0
    """From the first octet of a head to its end: 408."""
    idle_seconds: float = 15.0
    """Between requests: the connection is closed."""
    body_seconds: float = 60.0
    """From the end of a head to the end of its body: 408."""
    body_part: int = 0
    """Octets of a body after which `body_seconds` begin anew, for bodies that may take long; 0: they are for the whole."""
    memo: int = 1024
    """Request heads whose parse is remembered, for all connections of a service together."""
    memo_head: int = 2048
    """A longer head is not remembered."""
    requests: int = 10_000
    """Answered on one connection, which is then closed; 0 for any number."""
    streams: int = 100
    """Requests in hand on one connection of HTTP/2: REFUSED_STREAM."""
    window: int = 64 * 1024
    """Octets of one request's body in HTTP/2 that may be on their way."""
    connection_window: int = 1024 * 1024
    """Octets of all bodies on a connection of HTTP/2 that may be on their way."""
    stalled_seconds: float = 30.0
    """For the peer of an HTTP/2 connection to take the next 8 KiB that wait for its window: the stream is reset."""
    resets: int = 100
    """Streams of one HTTP/2 connection that are reset within ten seconds: ENHANCE_YOUR_CALM."""
    control_frames: int = 1000
    """Frames within ten seconds that carry neither requests nor contents: ENHANCE_YOUR_CALM."""

    def __post_init__(self) -> None:
        all_positive(self, or_none=("memo", "requests", "body_part"))
