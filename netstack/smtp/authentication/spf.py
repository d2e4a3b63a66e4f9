"""Sender Policy Framework: whether a host may send in a domain's name (RFC 7208)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal
from urllib.parse import quote

from netstack.kernel.resolver import Resolver
from netstack.sansio.bounds import all_positive
from netstack.smtp.authentication.lookup import TemporaryError, looked_up, texts

Result = Literal["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"]
_QUALIFIERS: dict[str, Result] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_TERM = re.compile(r"([+\-~?]?)(all|include|a|mx|ptr|ip4|ip6|exists)((?:[:/].*)?)", re.IGNORECASE)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9\-_.]*)=(.*)")
_CIDR = re.compile(r"(?:/([0-9]{1,2}))?(?://([0-9]{1,3}))?")
_MACRO = re.compile(r"%(?:\{([slodiphcrtvSLODIPHCRTV])([0-9]*)(r?)([.\-+,/_=]*)\}|([%_\-]))|%")
_TEXT = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class SPFLimits:
    """Look-ups that one check may cost (§4.6.4); beyond them it is a permerror."""

    lookups: int = 10
    """Of mechanisms and modifiers that ask the DNS."""
    void: int = 2
    """That find nothing."""
    exchanges: int = 10
    """Of one mx mechanism, and names of one ptr."""

    def __post_init__(self) -> None:
        all_positive(self)


class PermanentError(Exception):
    """The published record cannot be used: permerror."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check says, and of which domain."""

    result: Result
    domain: str
    reason: str = ""


async def check_host(
    resolver: Resolver, address: str, domain: str, sender: str, hello: str, limits: SPFLimits | None = None
) -> Checked:
    """The check_host() of §4 for a client at `address`; `sender` is `local@domain`, or `postmaster@HELO name` for none."""
    check = _Check(resolver, ip_address(address), sender, hello, limits or SPFLimits())
    try:
        result = await check.host(domain)
    except PermanentError as error:
        return Checked("permerror", domain, str(error))
    except TemporaryError as error:
        return Checked("temperror", domain, str(error))
    return Checked(result, domain, check.matched)


@dataclass(frozen=True, slots=True)
class _Mechanism:
    result: Result
    name: str
    value: str
    """After the colon, before the prefix lengths."""
    four: int
    six: int
    text: str


def parse(record: str) -> tuple[Sequence[_Mechanism], dict[str, str]]:
    """Mechanisms and modifiers (§4.6.1, §12); raises PermanentError for what is not by the grammar."""
    mechanisms: list[_Mechanism] = []
    modifiers: dict[str, str] = {}
    for term in record.split(" ")[1:]:
        if not term:
            continue
        if not _TEXT.fullmatch(term):
            raise PermanentError(f"{term[:40]!r} is not ASCII")
        match = _TERM.fullmatch(term)
        if match is not None and (not match[3] or match[3][0] in ":/"):
            mechanisms.append(_mechanism(match[1], match[2].lower(), match[3], term))
            continue
        modifier = _MODIFIER.fullmatch(term)
        if modifier is None:
            raise PermanentError(f"{term[:40]!r} is not a term of SPF")
        name = modifier[1].lower()
        if name in ("redirect", "exp"):
            if name in modifiers:
                raise PermanentError(f"{name} is there twice")
            _check_macros(modifier[2], name)
            modifiers[name] = modifier[2]
        else:
            _check_macros(modifier[2], name, empty=True)
    return mechanisms, modifiers


def _mechanism(qualifier: str, name: str, rest: str, term: str) -> _Mechanism:
    value, four, six = rest.removeprefix(":"), 32, 128
    had_colon = rest.startswith(":")
    if name in ("a", "mx"):
        slash = re.search(r"(?:/[0-9]{1,2})?(?://[0-9]{1,3})?$", rest)
        lengths = slash[0] if slash is not None else ""
        value = rest[: len(rest) - len(lengths)].removeprefix(":")
        cidr = _CIDR.fullmatch(lengths)
        if cidr is None or "/" in re.sub(r"%\{[^}]*\}", "", value):
            raise PermanentError(f"{term[:40]!r}: no prefix length")
        four, six = int(cidr[1] or 32), int(cidr[2] or 128)
        if four > 32 or six > 128 or any(part != "0" and part.startswith("0") for part in (cidr[1] or "", cidr[2] or "")):
            raise PermanentError(f"{term[:40]!r}: no prefix length")
    if name == "all" and rest:
        raise PermanentError("all takes no argument")
    if name in ("include", "exists", "ip4", "ip6") and not value:
        raise PermanentError(f"{name} needs an argument")
    if had_colon and not value:
        raise PermanentError(f"{term[:40]!r} has an empty argument")
    if name in ("ip4", "ip6"):
        _network(name, value)
    elif value:
        _check_macros(value, name)
    return _Mechanism(_QUALIFIERS[qualifier or "+"], name, value, four, six, term)


def _network(name: str, value: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise PermanentError(f"{value[:60]!r} is no network") from None
    length = value.partition("/")[2]
    if network.version != (4 if name == "ip4" else 6) or (length and (not length.isdigit() or str(int(length)) != length)):
        raise PermanentError(f"{value[:60]!r} is no network of {name}")
    return network


def _check_macros(text: str, name: str, empty: bool = False) -> None:
    if not text and not empty:
        raise PermanentError(f"{name} needs an argument")
    for match in _MACRO.finditer(text):
        if match[0] == "%" or match[2] == "0" or (match[1] and match[1].lower() in "crt" and name != "exp"):
            raise PermanentError(f"{text[:40]!r}: no macro")


class _Check:
    """One check, with all that it includes."""

    def __init__(
        self, resolver: Resolver, address: IPv4Address | IPv6Address, sender: str, hello: str, limits: SPFLimits
    ) -> None:
        self.matched = ""
        self._resolver = resolver
        self._address = getattr(address, "ipv4_mapped", None) or address
        self._local, _, self._domain_of_sender = sender.rpartition("@")
        self._hello = hello
        self._limits = limits
        self._lookups = self._void = 0
        self._validated: str | None = None

    async def host(self, domain: str) -> Result:
        labels = domain.rstrip(".").split(".")
        if len(labels) < 2 or any(not 0 < len(label) < 64 for label in labels) or len(domain) > 253:
            return "none"
        found = await texts(self._resolver, domain)
        records = [each for each in found or () if each.lower() == "v=spf1" or each.lower().startswith("v=spf1 ")]
        if len(records) > 1:
            raise PermanentError(f"{domain} has more than one record")
        if not records:
            return "none"
        mechanisms, modifiers = parse(records[0])
        for mechanism in mechanisms:
            if await self._matches(mechanism, domain):
                self.matched = f"{domain}: {mechanism.text}"[:200]
                return mechanism.result
        if "redirect" in modifiers:
            self._count()
            result = await self.host(await self._expanded(modifiers["redirect"], domain))
            if result == "none":
                raise PermanentError(f"redirect={modifiers['redirect'][:60]} leads nowhere")
            return result
        return "neutral"

    async def _matches(self, mechanism: _Mechanism, domain: str) -> bool:
        name = mechanism.name
        if name == "all":
            return True
        if name in ("ip4", "ip6"):
            network = _network(name, mechanism.value)
            return network.version == self._address.version and self._address in network
        self._count()
        target = await self._expanded(mechanism.value, domain) if mechanism.value else domain
        if name == "include":
            result = await self.host(target)
            if result == "none":
                raise PermanentError(f"include:{target[:60]} has no record")
            return result == "pass"
        if name == "a":
            return self._among(await self._addresses(target), mechanism)
        if name == "mx":
            return await self._by_exchange(target, mechanism)
        if name == "exists":
            return any(":" not in each for each in await self._addresses(target))
        return await self._by_pointer(target)

    async def _by_exchange(self, target: str, mechanism: _Mechanism) -> bool:
        records = await self._records(target, "MX")
        if len(records) > self._limits.exchanges:
            raise PermanentError(f"{target[:60]} has more than {self._limits.exchanges} exchanges")
        for record in records:
            host = record.partition(" ")[2].rstrip(".")
            if host and self._among(await self._addresses(host, counted=False), mechanism):
                return True
        return False

    async def _by_pointer(self, target: str) -> bool:
        """Of historic interest (§5.5)."""
        try:
            names = await self._records(self._address.reverse_pointer, "PTR")
        except TemporaryError:
            return False
        for name in names[: self._limits.exchanges]:
            plain = name.rstrip(".").lower()
            if plain == target.lower() or plain.endswith("." + target.lower()):
                try:
                    found = await self._addresses(plain, counted=False)
                except TemporaryError:
                    continue
                if any(ip_address(each) == self._address for each in found):
                    return True
        return False

    def _among(self, addresses: Sequence[str], mechanism: _Mechanism) -> bool:
        length = mechanism.four if self._address.version == 4 else mechanism.six
        for each in addresses:
            if ip_address(each).version == self._address.version and self._address in ip_network(
                f"{each}/{length}", strict=False
            ):
                return True
        return False

    # The DNS

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > self._limits.lookups:
            raise PermanentError(f"more than {self._limits.lookups} look-ups")

    def _nothing(self) -> None:
        self._void += 1
        if self._void > self._limits.void:
            raise PermanentError(f"more than {self._limits.void} look-ups that find nothing")

    async def _addresses(self, name: str, counted: bool = True) -> Sequence[str]:
        addresses = await looked_up(self._resolver.addresses(name)) or ()
        if not addresses and counted:
            self._nothing()
        return addresses

    async def _records(self, name: str, rdtype: str) -> Sequence[str]:
        records = await looked_up(self._resolver.records(name, rdtype)) or ()
        if not records:
            self._nothing()
        return records

    # Macros (§7)

    async def _expanded(self, text: str, domain: str) -> str:
        parts, at = [], 0
        for match in _MACRO.finditer(text):
            parts.append(text[at : match.start()])
            at = match.end()
            if match[5]:
                parts.append({"%": "%", "_": " ", "-": "%20"}[match[5]])
            elif match[1]:
                value = await self._macro(match[1].lower(), domain)
                words = re.split("[" + re.escape(match[4] or ".") + "]", value)
                if match[3]:
                    words.reverse()
                if match[2]:
                    words = words[-int(match[2]) :]
                value = ".".join(words)
                parts.append(quote(value, safe="-._~") if match[1].isupper() else value)
        expanded = "".join((*parts, text[at:]))
        while len(expanded) > 253 and "." in expanded:  # labels from the left are left out (§7.3)
            expanded = expanded.partition(".")[2]
        return expanded

    async def _macro(self, letter: str, domain: str) -> str:
        if letter == "p":
            return await self._validated_name(domain)
        address = self._address
        dotted = str(address) if address.version == 4 else ".".join(address.exploded.replace(":", ""))
        return {
            "s": f"{self._local or 'postmaster'}@{self._domain_of_sender}",
            "l": self._local or "postmaster",
            "o": self._domain_of_sender,
            "d": domain,
            "i": dotted,
            "c": str(address),
            "v": "in-addr" if address.version == 4 else "ip6",
            "h": self._hello,
            "r": "unknown",
            "t": "0",
        }[letter]

    async def _validated_name(self, domain: str) -> str:
        if self._validated is None:
            self._validated = "unknown"
            try:
                for name in (await self._records(self._address.reverse_pointer, "PTR"))[: self._limits.exchanges]:
                    plain = name.rstrip(".").lower()
                    found = await self._addresses(plain, counted=False)
                    if any(ip_address(each) == self._address for each in found):
                        self._validated = plain
                        break
            except TemporaryError:
                pass
        return self._validated
