"""Authentication-Results: what was found out about a message, for whoever reads it later (RFC 8601)."""

import re
from collections.abc import Sequence

from netstack.mail.message import Field
from netstack.smtp.authentication import dkim, dmarc, spf

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z@/:]+")


def field(
    authority: str,
    checked: spf.Checked | None,
    sender: str,
    hello: str,
    signatures: Sequence[dkim.Verdict],
    judged: dmarc.Judged | None,
    login: str = "",
) -> bytes:
    """The field with its CRLF; `authority` is this host's name (§2.5)."""
    results = []
    if login:
        results.append(f"auth=pass smtp.auth={_value(login)}")
    if checked is not None:
        subject = f"smtp.mailfrom={_value(sender)}" if sender else f"smtp.helo={_value(hello)}"
        results.append(f"spf={checked.result}{_reason(checked.reason)} {subject}")
    for each in signatures:
        selector = f" header.s={_value(each.selector)}" if each.selector else ""
        domain = f" header.d={_value(each.domain)}" if each.domain else ""
        results.append(f"dkim={each.result}{_reason(each.reason)}{domain}{selector}")
    if checked is not None and not signatures:
        results.append("dkim=none")
    if judged is not None:
        asked = f" policy.dmarc={judged.policy}" if judged.result == "fail" else ""
        author = f" header.from={_value(judged.domain)}" if judged.domain else ""
        results.append(f"dmarc={judged.result}{_reason(judged.reason)}{author}{asked}")
    text = ";\r\n\t".join((authority, *(results or ["none"])))
    return f"Authentication-Results: {text}\r\n".encode()


def is_forged(each: Field, authority: str) -> bool:
    """Whether a field of a message that comes in claims to be ours (§5): it is taken out."""
    if each.name != b"authentication-results":
        return False
    value = re.sub(rb"\([^()]*\)", b" ", each.value).strip()
    claimed = re.split(rb"[\s;]", value, maxsplit=1)[0].strip(b'"').decode("latin-1").lower()
    return claimed == authority.lower()


def _value(text: str) -> str:
    if _TOKEN.fullmatch(text):
        return text
    clean = "".join(sign if sign.isprintable() else "?" for sign in text[:200])
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _reason(text: str) -> str:
    return f" reason={_value(text)}" if text else ""
