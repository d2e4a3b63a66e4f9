"""What the journal gets of a request: without its credentials."""

import re

_CREDENTIALS = re.compile(
    rb"^([ \t]*(?:proxy-)?authorization[ \t]*:[ \t]*)([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE
)
"""Also as they are refused: with white space before the colon, or continued on the next line."""


def without_credentials(octets: bytes) -> bytes:
    """The octets of a request, as many as before, with asterisks for what its (Proxy-)Authorization fields say."""
    end = octets.find(b"\r\n\r\n")
    head = octets if end < 0 else octets[:end]
    return _CREDENTIALS.sub(lambda found: found[1] + b"*" * len(found[2]), head) + octets[len(head) :]
