"""Whose address it is: mailboxes here, aliases and lists, other domains (RFC 5321 §3.6, §3.9, §4.5.1)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from netstack.mail.accounts import Account, Accounts
from netstack.mail.addresses import Mailbox, canonical_domain, parse_mailbox
from netstack.sansio.bounds import all_positive
from netstack.smtp.queue import LOCAL


@dataclass(frozen=True, slots=True)
class DirectoryLimits:
    """Bounds of looking an address up."""

    depth: int = 10
    """Aliases of aliases; what is deeper is nobody."""
    remembered: int = 10_000
    """Addresses whose meaning is remembered; then all are forgotten."""

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(frozen=True, slots=True)
class Alias:
    """An address that stands for others."""

    targets: tuple[Mailbox, ...]
    owner: Mailbox | None = None
    """Of a list: what goes wrong is told to the owner, not to the sender (RFC 5321 §3.9.2)."""


class NoSuchUser(LookupError):
    """The domain is ours, and nobody has the address."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an address stands for."""

    mailboxes: tuple[Mailbox, ...]
    lists: tuple[tuple[Mailbox, tuple[Mailbox, ...]], ...] = ()
    """Owners, and the members of their lists."""
    expanded: bool = False


@dataclass(slots=True)
class Directory:
    """All that one host knows of addresses; it may come to know others (`become`)."""

    accounts: Accounts
    domains: frozenset[str]
    """Whose mail is taken: canonical, in lower case."""
    aliases: Mapping[tuple[str, str], Alias] = field(default_factory=dict)
    postmaster: Mailbox | None = None
    """Who reads the mail to postmaster; the first account without one."""
    catch_all: Mailbox | None = None
    """Who gets what nobody has the address of; then no address is unknown."""
    limits: DirectoryLimits = field(default_factory=DirectoryLimits)

    _found: dict[Mailbox, Found] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Addresses that were asked for."""

    def become(self, other: "Directory") -> None:
        """Know what another one knows, and nothing else."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))

    def is_ours(self, mailbox: Mailbox) -> bool:
        """Whether this host is where its mail ends."""
        return mailbox.domain in self.domains or not mailbox.domain

    def lane(self, mailbox: Mailbox) -> str:
        """Where the queue sends it."""
        return LOCAL if self.is_ours(mailbox) else mailbox.domain

    def account(self, mailbox: Mailbox) -> Account | None:
        """Who has a mailbox under this very address."""
        return self.accounts.find(mailbox)

    def may_write_as(self, name: str, mailbox: Mailbox) -> bool:
        """Whether an account may send in the name of an address: its own, or that of an alias whose mail it gets."""
        account = self.account(mailbox)
        if account is not None:
            return account.name == name
        alias = self.aliases.get(mailbox.key)
        targets = () if alias is None else alias.targets
        return any((found := self.account(each)) is not None and found.name == name for each in targets)

    def find(self, mailbox: Mailbox) -> Found:
        """What an address of ours stands for; raises NoSuchUser."""
        found = self._found.get(mailbox)
        if found is not None:
            return found
        mailboxes: dict[Mailbox, None] = {}
        lists: dict[Mailbox, tuple[Mailbox, ...]] = {}
        self._expand(mailbox, mailboxes, lists, set(), 0)
        found = Found(tuple(mailboxes), tuple(lists.items()), mailboxes.keys() != {mailbox} or bool(lists))
        if len(self._found) >= self.limits.remembered:
            self._found.clear()
        self._found[mailbox] = found
        return found

    def _expand(
        self,
        mailbox: Mailbox,
        mailboxes: dict[Mailbox, None],
        lists: dict[Mailbox, tuple[Mailbox, ...]],
        seen: set[tuple[str, str]],
        depth: int,
    ) -> None:
        if not self.is_ours(mailbox):
            mailboxes[mailbox] = None
            return
        key = mailbox.key
        if key in seen or depth > self.limits.depth:
            return
        seen.add(key)
        alias = self.aliases.get(key)
        if alias is None:
            plain, detail = mailbox.detail(self.accounts.separators)
            alias = self.aliases.get(plain.key) if detail is not None else None
        if alias is not None and alias.owner is not None:
            members: dict[Mailbox, None] = {}
            for target in alias.targets:
                self._expand(target, members, lists, seen, depth + 1)
            lists[alias.owner] = tuple(members)
        elif alias is not None:
            for target in alias.targets:
                self._expand(target, mailboxes, lists, seen, depth + 1)
        elif self.account(mailbox) is not None:
            mailboxes[mailbox] = None
        elif mailbox.local.lower() == "postmaster" and (reader := self._postmaster()) is not None:
            self._expand(reader, mailboxes, lists, seen, depth + 1)
        elif self.catch_all is not None:
            self._expand(self.catch_all, mailboxes, lists, seen, depth + 1)
        else:
            raise NoSuchUser(f"{mailbox} is nobody's address here")

    def _postmaster(self) -> Mailbox | None:
        """Always somebody, as long as there are accounts (RFC 5321 §4.5.1)."""
        if self.postmaster is not None:
            return self.postmaster
        first = next(iter(self.accounts), None)
        return None if first is None else parse_mailbox(first.name, utf8=True)


def parse_aliases(lines: Iterable[str]) -> dict[tuple[str, str], Alias]:
    """`ADDRESS: TARGET[, TARGET]...` a line, and with `owner=ADDRESS` before the targets a list; # begins a comment.

    Raises ValueError that names the line.
    """
    aliases: dict[tuple[str, str], Alias] = {}
    for number, text in enumerate(lines, 1):
        line = text.partition("#")[0].strip()
        if not line:
            continue
        try:
            name, colon, rest = line.partition(":")
            words = [word for word in rest.replace(",", " ").split() if word]
            owner = None
            if words and words[0].startswith("owner="):
                owner = parse_mailbox(words.pop(0).removeprefix("owner="), utf8=True)
            if not colon or not words:
                raise ValueError("ADDRESS: TARGET[, TARGET]... was expected")
            key = parse_mailbox(name.strip(), utf8=True).key
            if key in aliases:
                raise ValueError(f"{name.strip()} is there twice")
            aliases[key] = Alias(tuple(parse_mailbox(word, utf8=True) for word in words), owner)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return aliases


def parse_domains(names: Sequence[str]) -> frozenset[str]:
    """Canonical; raises ValueError."""
    return frozenset(canonical_domain(name) for name in names)
