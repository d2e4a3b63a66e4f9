"""What the journal gets of HTTP/2: one message for each frame (RFC 9113 §4)."""

from collections.abc import Iterable, Iterator, Mapping

from hpack import Decoder, HPACKError

from netstack.http.engine.http2 import frames
from netstack.http.engine.server import PREFACE, status_name
from netstack.http.events import OnStream, RequestReceived
from netstack.sansio import Event, FileSlice


def received_message(frame: frames.Frame, events: Iterable[Event], octets: bytes) -> tuple[str, bytes]:
    """Summary and octets of a frame that came; fields that may be credentials are not kept."""
    if frame.kind != frames.HEADERS:
        return _named(frame.kind, frame.stream), octets
    for event in events:
        if isinstance(event, OnStream) and isinstance(event.event, RequestReceived):
            request = event.event.request
            if "authorization" not in request.fields and "proxy-authorization" not in request.fields:
                return f"{request.method} {request.target} {request.version}", octets
            return f"{request.method} {request.target} {request.version}", _masked(octets)
    return _named(frame.kind, frame.stream), _masked(octets)


def _masked(octets: bytes) -> bytes:
    """The frames, as long as they were, with asterisks for what is in them."""
    return b"".join(
        frames.frame(each.kind, each.flags, each.stream, b"*" * len(each.payload)) for each in frames.read_frames(octets)
    )


def sent_messages(pieces: Iterable[bytes | FileSlice]) -> Iterator[tuple[str, bytes, int]]:
    """Summary, octets and number of omitted octets of the frames in some output; contents from files are omitted."""
    summary, octets, missing, omitted = "", b"", 0, 0
    for piece in pieces:
        if isinstance(piece, FileSlice):
            omitted += piece.length
            missing -= piece.length
            continue
        if missing > 0:
            octets += piece[:missing]
            missing -= len(piece)
            continue
        for frame in frames.read_frames(piece):
            if summary:
                yield summary, octets, omitted
            octets = frames.frame(frame.kind, frame.flags, frame.stream, frame.payload)
            summary, omitted = _sent_summary(frame), 0
        missing = int.from_bytes(piece[:3], "big") - (len(piece) - frames.HEAD)
    if summary:
        yield summary, octets, omitted


def requests_sent(octets: bytes, requests: Mapping[int, str], secret: bool) -> Iterator[tuple[str, bytes]]:
    """The frames of a client in some output; `requests`: what their HEADERS say, `secret`: they are not to be kept."""
    if octets.startswith(PREFACE):
        yield "PRI * HTTP/2.0", PREFACE
        octets = octets[len(PREFACE) :]
    for each in frames.read_frames(octets):
        data = frames.frame(*each)
        if each.kind == frames.HEADERS and each.stream in requests:
            yield requests[each.stream], _masked(data) if secret else data
        else:
            yield _named(each.kind, each.stream), _masked(data) if secret and each.kind == frames.CONTINUATION else data


def response_summary(octets: bytes, statuses: Mapping[int, int]) -> str:
    """A server's frame, whose field block only a library with its table can read; `statuses`: what HEADERS say."""
    kind, stream = octets[3], int.from_bytes(octets[5:9], "big")
    return status_name(statuses[stream]) if kind == frames.HEADERS and stream in statuses else _named(kind, stream)


def _sent_summary(frame: frames.Frame) -> str:
    if frame.kind == frames.HEADERS:
        try:
            [(name, value), *_] = Decoder().decode(frame.payload, raw=True)
        except (HPACKError, ValueError):
            return _named(frame.kind, frame.stream)
        if name == b":status":
            return status_name(int(value))
    return _named(frame.kind, frame.stream)


def _named(kind: int, number: int) -> str:
    name = frames.NAMES.get(kind, f"frame {kind}")
    return f"{name} on stream {number}" if number else name
