"""Master files (RFC 1035 §5): read with every error and every doubt at its line, written in canonical order; pure."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import dns.exception
import dns.grange
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.ttl
import dns.zone
from dns.name import Name
from dns.rdata import Rdata
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rrset import RRset

from netstack.dns.wire import name_text, type_text

DEPTH = 8
"""Files within files."""
FILES = 1000
"""Files of one zone."""
GENERATED = 65536
"""Records that one $GENERATE may make."""
ENTRY = 1 << 20
"""Characters of an entry that goes over several lines."""
REMARKS = 100
"""Errors after which reading ends, and warnings that are kept."""
SINGLE = frozenset({RdataType.SOA, RdataType.CNAME, RdataType.DNAME})
"""Types of which a name has one record (RFC 2181 §10.1, RFC 6672 §2.4)."""
BESIDE_CNAME = frozenset({RdataType.CNAME, RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3})
"""All that may be where a CNAME record is (RFC 1034 §3.6.2, RFC 4034 §3, §4)."""

Include = Callable[[str], str]
"""The text of a file that $INCLUDE names; raises IncludeError."""


class IncludeError(ValueError):
    """A file cannot be included; the text says why."""


class _Wrong(ValueError):
    """A line that is none of a master file."""


class Remark(NamedTuple):
    """What is wrong with a line, or doubtful."""

    file: str
    line: int
    text: str
    serious: bool = True

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.file else f"line {self.line}: {self.text}"


class Contents(NamedTuple):
    """What a master file says: RRsets in the order of their first records, and remarks in the order of lines."""

    rrsets: list[RRset]
    remarks: list[Remark]

    @property
    def errors(self) -> list[Remark]:
        """Why it is no zone."""
        return [remark for remark in self.remarks if remark.serious]


def read_master(origin: Name, text: str, file: str = "", include: Include | None = None) -> Contents:
    """Read a zone's file; goes on after an error, so that one reading tells all. `file` is its name in remarks."""
    reader = Reader(origin, include)
    reader.read(text, file, origin, 0)
    return Contents([rrset for at in reader.names.values() for rrset in at.values()], reader.remarks)


class Reader:
    """Reads entries one by one; what it is told by `_add` are records."""

    def __init__(self, zone: Name, include: Include | None) -> None:
        self.zone = zone
        self.include = include
        self.names: dict[Name, dict[tuple[RdataType, RdataType], RRset]] = {}
        self.remarks: list[Remark] = []
        self._files = 0
        self._errors = 0
        self._file, self._line = "", 0
        self._origin = zone
        self._owner: Name | None = None
        self._default: int | None = None
        self._last: int | None = None
        self._minimum: int | None = None

    def read(self, text: str, file: str, origin: Name, depth: int) -> None:
        """One file; what it sets of origin, owner and TTL ends with it."""
        before = self._file, self._origin, self._owner, self._default, self._last
        self._file, self._origin = file, origin
        for line, entry in entries(io.StringIO(text)):
            self._entry(line, entry, depth)
            if self._errors >= REMARKS:
                break
        self._file, self._origin, self._owner, self._default, self._last = before

    def _entry(self, line: int, entry: str | None, depth: int) -> None:
        """One entry, which begins at a line; None: it does not end."""
        self._line = line
        try:
            if entry is None:
                raise _Wrong("a parenthesis is not closed, or the entry is too long")
            if entry.startswith("$"):
                self._directive(entry, depth)
            else:
                self._record(dns.tokenizer.Tokenizer(entry))
        except Exception as error:  # the library's decoders raise whatever they stumble over; all is the file's fault
            self._remark(str(error) or type(error).__name__)

    def _remark(self, text: str, serious: bool = True) -> None:
        self._errors += serious
        if serious or len(self.remarks) < REMARKS:
            self.remarks.append(Remark(self._file, self._line, text, serious))

    def _directive(self, entry: str, depth: int) -> None:
        word, _, rest = entry.partition(" ") if "\t" not in entry.partition(" ")[0] else entry.partition("\t")
        tok = dns.tokenizer.Tokenizer(rest)
        name = word.strip().upper()
        if name == "$TTL":
            self._default = dns.ttl.from_text(tok.get_identifier())
        elif name == "$ORIGIN":
            self._origin = tok.get_name(self._origin)
        elif name == "$GENERATE":
            self._generate(rest)
            return
        elif name == "$INCLUDE":
            self._include(tok, depth)
            return
        else:
            raise _Wrong(f"{name}: expected $TTL, $ORIGIN, $INCLUDE or $GENERATE")
        tok.get_eol()

    def _include(self, tok: dns.tokenizer.Tokenizer, depth: int) -> None:
        path = tok.get_string()
        token = tok.get()
        origin = self._origin
        if not token.is_eol_or_eof():
            origin = tok.as_name(token, self._origin)
            tok.get_eol()
        self._files += 1
        if self.include is None:
            raise _Wrong(f"$INCLUDE {path}: expected none, as this zone has no directory")
        if depth >= DEPTH or self._files > FILES:
            raise _Wrong(f"$INCLUDE {path}: more than {DEPTH} files deep, or {FILES} in all")
        line = self._line
        try:
            text = self.include(path)
        except IncludeError as error:
            raise _Wrong(f"$INCLUDE {path}: {error}") from None
        self.read(text, path, origin, depth + 1)
        self._line = line

    def _generate(self, rest: str) -> None:
        """BIND's $GENERATE, as the library reads it."""
        start, stop, step = dns.grange.from_text(rest.split(maxsplit=1)[0])
        if (stop - start) // step >= GENERATED:
            raise _Wrong(f"$GENERATE: expected at most {GENERATED} records")
        ttl = self._implicit()
        head = "" if ttl is None else f"$TTL {ttl}\n"
        made = dns.zone.from_text(f"{head}$GENERATE {rest}\n", self._origin, relativize=False, check_origin=False)
        for name, rdataset in made.iterate_rdatasets():
            for rdata in rdataset:
                self._add(name, rdataset.ttl, rdata)

    def _record(self, tok: dns.tokenizer.Tokenizer) -> None:
        token = tok.get(want_leading=True)
        if token.is_whitespace():
            token = tok.get()
            if token.is_eol_or_eof():
                return
            tok.unget(token)
        elif token.is_eol_or_eof():
            return
        else:
            self._owner = tok.as_name(token, self._origin)
        ttl, word = self._ttl_and_class(tok)
        try:
            rdtype = dns.rdatatype.from_text(word)
        except (dns.exception.DNSException, ValueError):
            raise _Wrong(f"unknown record type {word!r}") from None
        if dns.rdatatype.is_metatype(rdtype):
            raise _Wrong(f"{type_text(rdtype)} is no type of records")
        try:
            rdata = dns.rdata.from_text(RdataClass.IN, rdtype, tok, self._origin, False)
        except Exception as error:
            raise _Wrong(f"{type_text(rdtype)}: {str(error) or type(error).__name__}") from error
        if self._owner is None:
            raise _Wrong("expected a name before the first record")
        if ttl is not None:
            self._last = ttl
        else:
            ttl = self._implicit()
        if rdtype == RdataType.SOA:
            soa: Any = rdata
            self._minimum = soa.minimum
            if ttl is None:
                self._remark("no TTL; the SOA record's minimum is taken", serious=False)
                ttl = soa.minimum
        if ttl is None:
            raise _Wrong("no TTL: expected $TTL above, or one before the type")
        self._add(self._owner, ttl, rdata)

    def _ttl_and_class(self, tok: dns.tokenizer.Tokenizer) -> tuple[int | None, str]:
        """The TTL where one is given, and the word after both."""
        ttl: int | None = None
        classed = False
        while True:
            word = tok.get_identifier()
            if ttl is None and word[:1].isdigit():
                ttl = dns.ttl.from_text(word)
                continue
            if not classed:
                try:
                    rdclass = dns.rdataclass.from_text(word)
                except (dns.exception.DNSException, ValueError):
                    return ttl, word
                if rdclass != RdataClass.IN:
                    raise _Wrong(f"expected class IN, got {word}")
                classed = True
                continue
            return ttl, word

    def _implicit(self) -> int | None:
        """RFC 2308 §4: $TTL counts, else the last TTL that was given (RFC 1035 §5.1), else the SOA record's minimum."""
        return next((ttl for ttl in (self._default, self._last, self._minimum) if ttl is not None), None)

    def _add(self, name: Name, ttl: int, rdata: Rdata) -> None:
        rdtype, shown = rdata.rdtype, name_text(name)
        if not name.is_subdomain(self.zone):
            self._remark(f"{shown} is outside of the zone, and ignored", serious=False)
            return
        if rdtype == RdataType.SOA and name != self.zone:
            raise _Wrong(f"{shown}: expected a SOA record at {name_text(self.zone)} alone")
        at = self.names.setdefault(name, {})
        key = (rdtype, rdata.covers())
        rrset = at.get(key)
        if rrset is None:
            types = {rdtype, *(each for each, _ in at)}
            if RdataType.CNAME in types and not BESIDE_CNAME.issuperset(types):
                raise _Wrong(f"{shown}: expected no other data beside a CNAME record (RFC 1034 §3.6.2)")
            rrset = at[key] = RRset(name, RdataClass.IN, rdtype, key[1])
            rrset.ttl = ttl
        elif rdata in rrset.items:
            self._remark(f"{shown} {type_text(rdtype)}: the record is given twice", serious=False)
            return
        elif rdtype in SINGLE:
            raise _Wrong(f"{shown}: expected one {type_text(rdtype)} record")
        elif ttl != rrset.ttl:  # RFC 2181 §5.2
            text = f"{shown} {type_text(rdtype)}: TTL {ttl} is not that of the RRset, which is {rrset.ttl}"
            self._remark(text, serious=False)
        rrset.items[rdata] = None


def entries(lines: Iterable[str], begin: int = 1) -> Iterator[tuple[int, str | None]]:
    """Entries of lines, the first of which has the number `begin`; each with the number of its first line.

    An entry is one line, or as many as parentheses hold together.
    None: such a one does not end.
    """
    depth, first, parts, size = 0, 0, [""], 0
    for number, line in enumerate(lines, begin):
        line = line.rstrip("\r\n")
        if not depth:
            if "(" not in line:
                if line and not line.isspace():
                    yield number, line
                continue
            first, parts, size = number, [], 0
        depth = _depth(line, depth)
        parts.append(line)
        size += len(line)
        if depth and size > ENTRY:
            break
        if not depth:
            yield first, "\n".join(parts)
    if depth:
        yield first, None


def _depth(line: str, depth: int) -> int:
    """How many parentheses are open after a line."""
    quoted = escaped = False
    for letter in line:
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif letter == ";":
            break
        elif letter == "(":
            depth += 1
        elif letter == ")" and depth:
            depth -= 1
    return depth


# Written


def canonical(name: Name) -> tuple[bytes, ...]:
    """A key by which names are in canonical order (RFC 4034 §6.1)."""
    return tuple(label.lower() for label in reversed(name.labels))


def lines_of(rrset: RRset) -> Iterator[str]:
    """The records of an RRset as lines of a master file, names in full."""
    head = f"{rrset.name.to_text()} {rrset.ttl} IN {type_text(rrset.rdtype)} "
    for rdata in rrset:
        yield head + rdata.to_text()
