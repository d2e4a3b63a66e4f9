"""Which replies are equal to the limit of response rates; pure."""

from collections.abc import Callable, Hashable

from netstack.dns.options import question_end


def kind(reply: bytes, counted: Callable[[bytes], bytes] = lambda name: name) -> Hashable:
    """Which replies are the same to the limit: those to one question; errors; and what one zone does not have, refers to.

    `counted`: of a name, octets in lower case, the one whose records answer: no name is new to a wildcard.
    """
    end = question_end(reply)
    if end is None:
        return reply[3] & 15
    rcode = reply[3] & 15
    if rcode == 0 and reply[6:8] != b"\0\0":
        return counted(reply[12 : end - 4].lower()), reply[end - 4 : end]
    if rcode in (0, 3) and reply[8:10] != b"\0\0" and reply[6:8] == b"\0\0":
        return rcode, _name(reply, end)
    return rcode


def _name(message: bytes, at: int) -> bytes:
    """The labels of a name that may be compressed, in lower case."""
    labels = b""
    for _ in range(128):
        if at >= len(message) or message[at] == 0:
            break
        if message[at] >= 0xC0:
            at = int.from_bytes(message[at : at + 2], "big") & 0x3FFF
            continue
        labels += message[at : at + message[at] + 1]
        at += message[at] + 1
    return labels.lower()
