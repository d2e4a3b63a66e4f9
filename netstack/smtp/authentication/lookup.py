"""The DNS, as all of these methods ask it: what is there, or that it does not answer now."""

import re
from collections.abc import Awaitable, Sequence

from netstack.kernel.resolver import NameNotFound, ResolutionError, Resolver

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')
_ESCAPE = re.compile(r"\\([0-9]{3}|.)")


class TemporaryError(Exception):
    """The DNS does not answer now: temperror."""


async def looked_up(asked: Awaitable[Sequence[str]]) -> Sequence[str] | None:
    """What the DNS has, be it nothing; None where the name does not exist. Raises TemporaryError.

    A failure that will not pass counts as nothing.
    """
    try:
        return await asked
    except NameNotFound:
        return None
    except ResolutionError as error:
        if error.temporary:
            raise TemporaryError(str(error)) from None
        return ()


async def texts(resolver: Resolver, name: str) -> Sequence[str] | None:
    """The TXT records of a name, their strings joined (RFC 7208 §3.3); None where the name does not exist.

    Raises TemporaryError.
    """
    records = await looked_up(resolver.records(name, "TXT"))
    return None if records is None else [joined(record) for record in records]


def joined(record: str) -> str:
    """A TXT record's octets as Latin-1 text, from presentation format (RFC 1035 §5.1)."""
    parts = (match[1] if match[1] is not None else match[2] for match in _STRING.finditer(record))
    return "".join(_ESCAPE.sub(_unescaped, part) for part in parts)


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1]) & 255) if len(match[1]) == 3 else match[1]
