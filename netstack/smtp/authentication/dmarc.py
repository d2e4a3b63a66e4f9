"""DMARC: whether the domain that a person sees in From is one that SPF or DKIM has proved, and what it asks for (RFC 7489).

The organizational domain is found by walking up the tree of the DNS, as the revision of RFC 7489 has it, without a list of
public suffixes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from netstack.kernel.resolver import Resolver
from netstack.mail.addresses import AddressError, canonical_domain
from netstack.mail.envelope import address_list
from netstack.mail.message import Field
from netstack.smtp.authentication import dkim, spf
from netstack.smtp.authentication.dkim import BadSignature, parse_tags
from netstack.smtp.authentication.lookup import TemporaryError, texts

Result = Literal["none", "pass", "fail", "temperror", "permerror"]
Policy = Literal["none", "quarantine", "reject"]
MOST_STEPS = 8
"""Names of a domain that are looked at, from the domain itself to the top."""
LONGEST_FROM, MOST_DOMAINS = 4096, 4
"""Octets of a From field that is looked at, and domains of its authors."""
_POLICIES: tuple[Policy, ...] = ("none", "quarantine", "reject")
_RESULTS: tuple[Result, ...] = ("pass", "none", "temperror", "permerror", "fail")
"""From the best to the worst."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a domain publishes at `_dmarc`."""

    domain: str
    policy: Policy
    subdomains: Policy
    strict_dkim: bool
    strict_spf: bool
    public_suffix: str
    """psd: "y", "n" or "u"."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What DMARC says of a message."""

    result: Result
    domain: str
    """Of From."""
    policy: Policy = "none"
    """What the domain asks for where it fails."""
    reason: str = ""


def author_domains(fields: Sequence[Field]) -> list[str]:
    """The domains of the authors in the one From field (RFC 7489 §6.6.1); raises ValueError."""
    found = [field for field in fields if field.name == b"from"]
    if len(found) != 1:
        raise ValueError(f"{len(found)} From fields")
    if len(found[0].raw) > LONGEST_FROM:
        raise ValueError("a From field without end")
    authors = address_list(found[0].value.decode("utf-8", "replace"))
    domains = list(dict.fromkeys(each.domain for each in authors if each.domain is not None))
    if not domains or len(domains) > MOST_DOMAINS:
        raise ValueError("no author, or authors of too many domains")
    try:
        return [canonical_domain(domain) for domain in domains]
    except AddressError as error:
        raise ValueError(str(error)) from None


async def judge(
    resolver: Resolver,
    fields: Sequence[Field],
    checked: spf.Checked | None,
    signatures: Sequence[dkim.Verdict],
    steps: int = MOST_STEPS,
) -> Judged:
    """`checked` is SPF's result for the domain of the envelope's sender, or of HELO where there is none.

    Of authors of several domains each is judged, and the worst of them counts. Whoever reads a message with two From fields
    may see either: nobody can be judged, and all is refused (RFC 7489 §6.6.1, RFC 5322 §3.6).
    """
    try:
        domains = author_domains(fields)
    except ValueError as error:
        doubtful = any(field.name == b"from" for field in fields)
        return Judged("permerror", "", "reject" if doubtful else "none", str(error))
    judged = [await _judge_one(resolver, domain, checked, signatures, steps) for domain in domains]
    return max(judged, key=lambda each: (_POLICIES.index(each.policy), _RESULTS.index(each.result)))


async def _judge_one(
    resolver: Resolver, domain: str, checked: spf.Checked | None, signatures: Sequence[dkim.Verdict], steps: int
) -> Judged:
    try:
        record = await discover(resolver, domain, steps)
        if record is None:
            return Judged("none", domain)
        if (
            checked is not None
            and checked.result == "pass"
            and await _aligned(resolver, domain, checked.domain, record.strict_spf, steps)
        ):
            return Judged("pass", domain)
        for signature in signatures:
            if signature.result == "pass" and await _aligned(resolver, domain, signature.domain, record.strict_dkim, steps):
                return Judged("pass", domain)
    except TemporaryError as error:
        return Judged("temperror", domain, reason=str(error))
    except BadSignature as error:
        return Judged("permerror", domain, reason=str(error))
    trouble = "temperror" in {checked.result if checked is not None else "", *(each.result for each in signatures)}
    if trouble:
        return Judged("temperror", domain, reason="the DNS did not answer for all of it")
    return Judged(
        "fail", domain, record.policy if record.domain == domain else record.subdomains, "nothing that passed is aligned"
    )


async def discover(resolver: Resolver, domain: str, steps: int = MOST_STEPS) -> Record | None:
    """The record that holds for a domain: its own, or that of its organizational domain."""
    own = await _record(resolver, domain)
    if own is not None:
        return own
    organization = await organizational(resolver, domain, steps)
    return await _record(resolver, organization) if organization != domain else None


async def organizational(resolver: Resolver, domain: str, steps: int = MOST_STEPS) -> str:
    """The domain of whoever runs a domain: the highest one with a record, below a public suffix that says so."""
    highest = domain
    below = domain
    for name in _upwards(domain, steps):
        record = await _record(resolver, name)
        if record is not None:
            if record.public_suffix == "n":
                return name
            if record.public_suffix == "y" and name != domain:
                return below
            highest = name
        below = name
    return highest


def _upwards(domain: str, steps: int) -> list[str]:
    labels = domain.split(".")
    names = [".".join(labels[at:]) for at in range(len(labels) - 1)]  # not the TLD alone
    return names if len(names) <= steps else [names[0], *names[len(names) - steps + 1 :]]


async def _record(resolver: Resolver, domain: str) -> Record | None:
    found = [
        each for each in await texts(resolver, f"_dmarc.{domain}") or () if each.replace(" ", "").startswith("v=DMARC1")
    ]
    if len(found) != 1:
        return None
    try:
        tags = parse_tags(found[0])
    except BadSignature:
        return None
    policy = _policy(tags.get("p", "none"))
    subdomains = _policy(tags["sp"]) if "sp" in tags else policy
    return Record(
        domain, policy, subdomains, tags.get("adkim") == "s", tags.get("aspf") == "s", tags.get("psd", "u").lower()
    )


def _policy(text: str) -> Policy:
    lower = text.lower()
    return "reject" if lower == "reject" else "quarantine" if lower == "quarantine" else "none"


async def _aligned(resolver: Resolver, author: str, proved: str, strict: bool, steps: int) -> bool:
    proved = proved.lower().rstrip(".")
    if author == proved or strict:
        return author == proved
    return await organizational(resolver, author, steps) == await organizational(resolver, proved, steps)
