"""A jar as a file: the format of Netscape's browser, which curl, wget and Python's http.cookiejar read and write; pure."""

import re

from netstack.http.jar import Cookie, Jar

HEAD = "# Netscape HTTP Cookie File\n"
LARGEST = 16 * 1024 * 1024
"""Octets of a file."""
_HTTP_ONLY = "#HttpOnly_"
_SITE = re.compile(r"# SameSite=(Strict|Lax|None)")


class BadFile(ValueError):
    """A line that is no cookie; the text says which."""


def dumped(jar: Jar, wall: float, session: bool = True) -> str:
    """A line for each cookie: domain, below it too, path, secure, expiry (0: with the session), name, value.

    A cookie whose SameSite was told has a comment before it, since the format has no place for that.
    """
    lines = [HEAD]
    for cookie in jar.cookies(wall):
        if cookie.expires is None and not session:
            continue
        if cookie.same_site:
            lines.append(f"# SameSite={cookie.same_site}\n")
        domain = cookie.domain if cookie.host_only else f".{cookie.domain}"
        told = (
            (_HTTP_ONLY if cookie.http_only else "") + domain, _flag(not cookie.host_only), cookie.path,
            _flag(cookie.secure), str(int(cookie.expires or 0)), cookie.name, cookie.value,
        )  # fmt: skip
        lines.append("\t".join(told) + "\n")
    return "".join(lines)


def loaded(text: str, wall: float) -> Jar:
    """The jar of a file; raises BadFile. Cookies that have expired are left out."""
    jar = Jar()
    same_site = ""
    for number, line in enumerate(text.splitlines(), 1):
        told = _SITE.fullmatch(line.strip())
        if told:
            same_site = told[1]
            continue
        hidden = line.startswith(_HTTP_ONLY)
        if not line.strip() or (line.startswith("#") and not hidden):
            continue
        parts = line.removeprefix(_HTTP_ONLY).split("\t")
        if len(parts) != 7 or not parts[0] or not re.fullmatch(r"-?[0-9]{1,15}", parts[4]) or not parts[2].startswith("/"):
            raise BadFile(
                f"line {number}: expected DOMAIN, TRUE or FALSE, PATH, TRUE or FALSE, EXPIRY, NAME, VALUE with tabs"
            )
        domain, below, path, secure, expires, name, value = parts
        jar.put(
            Cookie(
                name, value, domain.removeprefix(".").lower(), path, wall, wall, float(expires) if int(expires) else None,
                below != "TRUE", secure == "TRUE", hidden, same_site,  # type: ignore[arg-type]
            ),
            wall,
        )  # fmt: skip
        same_site = ""
    return jar


def _flag(yes: bool) -> str:
    return "TRUE" if yes else "FALSE"
