"""Forms with files, multipart/form-data (RFC 7578, RFC 2046 §5.1.1), read from a body that is whole; pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from netstack.http.wire import BadMessage

HEAD = 8 * 1024
"""Octets of the fields of one part."""
# RFC 2046 §5.1.1: up to 70 of these, the last no space
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_PARAMETER = re.compile(r';[ \t]*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)=(?:"([^"\r\n]*)"|([^;"\s]*))')
_ESCAPES = {"%22": '"', "%0d": "\r", "%0a": "\n"}


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form."""

    name: str
    filename: str | None
    """As the client calls it, any path included; None where it is no file."""
    media: str
    content: bytes


def boundary_of(content_type: str) -> str:
    """The boundary that a Content-Type field of multipart/form-data names; raises BadMessage (400)."""
    boundary = _parameters(content_type).get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadMessage("multipart/form-data without a boundary of 1 to 70 letters (RFC 2046 §5.1.1)", 400)
    return boundary


def parse_multipart(body: bytes, boundary: str, most: int) -> list[Part]:
    """The parts in their order; raises BadMessage, 400 for what is no form and 413 for more than `most` parts."""
    parts: list[Part] = []
    for octets in _split(body, b"--" + boundary.encode("ascii")):
        if len(parts) == most:
            raise BadMessage(f"more than {most} parts of a form", 413)
        parts.append(_part(octets))
    return parts


def _split(body: bytes, delimiter: bytes) -> Iterator[bytes]:
    """What lies between the delimiter lines; what is before the first and after the last one is nothing."""
    line = re.compile(rb"(?:^|\r\n)" + re.escape(delimiter) + rb"(--)?[ \t]*(?:\r\n|$)")
    at: int | None = None
    place = 0
    while found := line.search(body, place):
        if at is not None:
            yield body[at : max(at, found.start())]
        if found[1]:
            if at is None:
                raise BadMessage("a form without parts ends before it begins (RFC 2046 §5.1.1)", 400)
            return
        at = found.end()
        place = at - 2  # the end of this line may be the beginning of the next delimiter
    raise BadMessage("a form that does not end with its last boundary (RFC 2046 §5.1.1)", 400)


def _part(octets: bytes) -> Part:
    head, blank, content = (b"", b"\r\n", octets[2:]) if octets.startswith(b"\r\n") else octets.partition(b"\r\n\r\n")
    if not blank or len(head) > HEAD:
        raise BadMessage(f"a part of a form without fields of at most {HEAD} octets (RFC 2046 §5.1)", 400)
    fields: dict[str, str] = {}
    for line in head.split(b"\r\n") if head else ():
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if not colon:
            raise BadMessage(f"{name[:80]!r} is no field of a part (RFC 2046 §5.1)", 400)
        fields.setdefault(name.strip(" \t").lower(), value.strip(" \t"))
    disposition = fields.get("content-disposition", "")
    told = _parameters(disposition)
    if disposition.partition(";")[0].strip().lower() != "form-data" or "name" not in told:
        raise BadMessage("a part without `Content-Disposition: form-data` and a name (RFC 7578 §4.2)", 400)
    filename = _unescaped(told["filename"]) if "filename" in told else None
    default = "text/plain" if filename is None else "application/octet-stream"
    return Part(_unescaped(told["name"]), filename, fields.get("content-type", default), content)


def _parameters(value: str) -> dict[str, str]:
    """Those of a field's value, by name in lower case."""
    return {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(value)}


def _unescaped(text: str) -> str:
    """Names as browsers write them: quotes and ends of lines are percent-encoded, nothing else is."""
    return re.sub("%22|%0[dDaA]", lambda found: _ESCAPES[found[0].lower()], text)
