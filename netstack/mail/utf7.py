"""Modified UTF-7 (RFC 3501 §5.1.3): names of folders in Maildirs, and for clients of IMAP4rev1."""

import re
from base64 import b64decode, b64encode
from binascii import Error

_PLAIN = re.compile(r"[ -%'-~]+")
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")


def encoded(name: str) -> str:
    """In ASCII. Raises ValueError for a lone surrogate."""
    pieces = []
    at = 0
    while at < len(name):
        if name[at] == "&":
            pieces.append("&-")
            at += 1
        elif (plain := _PLAIN.match(name, at)) is not None:
            pieces.append(plain[0])
            at = plain.end()
        else:
            end = at
            while end < len(name) and name[end] != "&" and _PLAIN.match(name[end]) is None:
                end += 1
            coded = b64encode(name[at:end].encode("utf-16-be")).decode().rstrip("=").replace("/", ",")
            pieces.append(f"&{coded}-")
            at = end
    return "".join(pieces)


def decoded(text: str) -> str:
    """Raises ValueError for what is not encoded in the one way that it can be."""

    def shifted(match: re.Match[str]) -> str:
        if not match[1]:
            return "&"
        coded = match[1].replace(",", "/")
        return b64decode(coded + "=" * (-len(coded) % 4)).decode("utf-16-be")

    try:
        name = _SHIFTED.sub(shifted, text)
    except Error:
        raise ValueError(f"{text!r} is not modified UTF-7") from None
    if encoded(name) != text:
        raise ValueError(f"{text!r} is not modified UTF-7")
    return name
