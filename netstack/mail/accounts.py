"""Who has a mailbox here: names, verifiers of their passwords, quotas. A file has a line for each account.

`netstack mail account NAME` makes such a line of a password.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from netstack.kernel.passwords import NOBODY, Verifier
from netstack.mail.addresses import DOT_STRING, AddressError, Mailbox, parse_mailbox
from netstack.mail.limits import AddressLimits
from netstack.mail.prep import saslprep
from netstack.mail.scram import ScramKeys

SEPARATORS = "+"
_NAMES = AddressLimits(local=64)
"""Of accounts, which have directories of their names."""
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True, slots=True)
class Account:
    """One user. Without a verifier nobody can log in, and mail comes all the same."""

    name: str
    """`alice@crepes.fr`: the local part casefolded in NFC, the domain canonical."""
    scrypt: Verifier | None = None
    scram: ScramKeys | None = None
    octets: int = 0
    """That its messages may have together; 0 is the store's own bound."""
    messages: int = 0
    """That it may have; 0 is the store's own bound."""

    def verifies(self, password: str) -> bool:
        """Whether it is that password. Slow on purpose: not for the reactor's thread."""
        if self.scrypt is not None:
            return self.scrypt.verifies(prepared(password))
        return self.scram is not None and self.scram.verifies(password)


_NOBODY = Account("", scrypt=NOBODY)


class Accounts:
    """Those of one host. Names are found in any case, and with a detail after a separator where there is no such account."""

    def __init__(self, accounts: Iterable[Account] = (), domains: Iterable[str] = (), separators: str = SEPARATORS) -> None:
        self._by_key: dict[tuple[str, str], Account] = {}
        for account in accounts:
            self._by_key[parse_mailbox(account.name, utf8=True).key] = account
        self.separators = separators
        self.domains = frozenset((*(domain for _, domain in self._by_key), *domains))
        self.default_domain = next((domain for _, domain in self._by_key), "")
        """Of names that log in without one."""
        self.stand_in = _stand_in(self._by_key)
        """Checked for names that nobody has: as the most of the accounts are, with a password that is none."""

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_key.values())

    def find(self, mailbox: Mailbox) -> Account | None:
        """Whose mailbox it is."""
        found = self._by_key.get(mailbox.key)
        if found is None and self.separators:
            plain, detail = mailbox.detail(self.separators)
            found = self._by_key.get(plain.key) if detail is not None else None
        return found

    def login(self, name: str) -> Account | None:
        """Who logs in by that name: the whole address, or the local part alone in the first account's domain."""
        try:
            mailbox = parse_mailbox(name if "@" in name else f"{name}@{self.default_domain}", utf8=True)
        except AddressError:
            return None
        return self._by_key.get(mailbox.key)

    @classmethod
    def parse(cls, lines: Iterable[str], domains: Iterable[str] = (), separators: str = SEPARATORS) -> "Accounts":
        """`NAME VERIFIER... [octets=SIZE] [messages=COUNT]`; empty lines and those that begin with # are left out.

        Raises ValueError that names the line.
        """
        found: dict[str, Account] = {}
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            try:
                account = parse_account(line, separators)
                if account.name in found:
                    raise ValueError(f"{account.name} is there twice")
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            found[account.name] = account
        return cls(found.values(), domains, separators)


def parse_account(line: str, separators: str = SEPARATORS) -> Account:
    """One line; raises ValueError that says what was expected."""
    name, *fields = line.split()
    account = Account(account_name(name, separators))
    for text in fields:
        key, equals, value = text.partition("=")
        if text.startswith("$scrypt$"):
            account = replace(account, scrypt=Verifier.parse(text))
        elif text.startswith("SCRAM-"):
            account = replace(account, scram=ScramKeys.parse(text))
        elif equals and key == "octets":
            account = replace(account, octets=size(value))
        elif equals and key == "messages":
            account = replace(account, messages=size(value))
        else:
            raise ValueError(f"$scrypt$…, SCRAM-SHA-256$…, octets=SIZE or messages=COUNT was expected, got {text[:20]!r}")
    return account


def account_name(text: str, separators: str = SEPARATORS) -> str:
    """An account's name, canonical; raises ValueError for one that no account has."""
    mailbox = parse_mailbox(text, True, _NAMES)
    local, domain = mailbox.key
    if DOT_STRING.fullmatch(local) is None:
        raise AddressError("the name of an account needs no quotes")
    if mailbox.is_literal or any(separator in local for separator in separators):
        raise AddressError(f"the name of an account has a domain, and none of {separators!r}")
    return f"{local}@{domain}"


def new_account(name: str, password: str, salt: bytes, scrypt: bool = True, scram: bool = True) -> Account:
    """With verifiers of a new password; raises ValueError. Slow on purpose: not for the reactor's thread."""
    canonical = account_name(name)
    saslprep(password, stored=True)
    if not password:
        raise ValueError("a password was expected")
    return Account(
        canonical,
        scrypt=Verifier.make(prepared(password), salt) if scrypt else None,
        scram=ScramKeys.make(password, salt) if scram else None,
    )


def account_line(account: Account) -> str:
    """The line of a file."""
    fields = [account.name, *(str(each) for each in (account.scrypt, account.scram) if each is not None)]
    fields += [f"{key}={value}" for key in ("octets", "messages") if (value := getattr(account, key))]
    return " ".join(fields)


def prepared(password: str) -> bytes:
    """Octets to verify; a password that SASLprep forbids is nobody's, and is hashed as it is."""
    try:
        return saslprep(password).encode()
    except ValueError:
        return unicodedata.normalize("NFC", password).encode("utf-8", "replace")


def _stand_in(accounts: Mapping[tuple[str, str], Account]) -> Account:
    def price(account: Account) -> tuple[int, ...]:
        if account.scrypt is not None:
            return account.scrypt.cost, account.scrypt.block, account.scrypt.parallel
        return (account.scram.iterations,) if account.scram is not None else ()

    prices = Counter(filter(None, map(price, accounts.values()))).most_common(1)
    if not prices:
        return _NOBODY
    [(common, _)] = prices
    if len(common) == 3:
        return Account("", scrypt=Verifier(*common, NOBODY.salt, NOBODY.digest))
    return Account("", scram=ScramKeys(common[0], NOBODY.salt, NOBODY.digest, NOBODY.digest))


def size(text: str) -> int:
    """A number with K, M or G after it; raises ValueError."""
    unit = text[-1:].upper() if not text[-1:].isdecimal() else ""
    digits = text[: len(text) - len(unit)]
    if unit not in _UNITS or not (digits.isascii() and digits.isdecimal() and len(digits) < 16):
        raise ValueError(f"a number was expected, K, M or G after it, got {text[:20]!r}")
    return int(digits) * _UNITS[unit]
