"""Which files are versions of which: the naming rule of a site's files, and what of it is in a directory (RFC 9110 §12.1).

Beside `page.html` may lie `page.html.fr` (its French version), `page.html.gz`, `page.html.fr.br` (precompressed), and
`page.html@Firefox` (for programs whose User-Agent field names Firefox). Languages need no
plain file beside them, the others do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netstack.http.media import media_type
from netstack.http.negotiation import CODINGS
from netstack.kernel.disk import Disk, FileStat

DIRECTORIES = 64
"""Directories whose marked names are remembered; then all are forgotten."""
TICK = 0.1
"""Seconds after which a change of a directory surely shows in its time."""


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One file, and the same precompressed: file and stat by content coding. None of those is older than it."""

    name: str
    stat: FileStat
    language: str | None
    coded: Mapping[str, tuple[str, FileStat]]


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """The versions of a name."""

    name: str
    media: str
    """The Content-Type of all of them."""
    plain: Version | None
    languages: Mapping[str, Version]
    """Empty when there is but the plain one, which else is among them in the site's first language."""
    programs: Mapping[str, Version]
    vary: str
    """The value of Vary (RFC 9110 §12.5.5)."""
    until: float


@dataclass(frozen=True, slots=True, eq=False)
class _Directory:
    stat: FileStat
    until: float
    marked: frozenset[str]
    """Names that end as languages and codings do, or have an "@"."""
    settled: bool
    """Read a while after its time: what changes now gives it another one."""


class Versions:
    """Finds the versions of names on a disk; `languages` are those of the site, the first is that of plain files."""

    def __init__(self, disk: Disk, languages: Sequence[str]) -> None:
        self._disk = disk
        self._languages = languages
        self._endings = tuple(f".{ending}" for ending in (*CODINGS, *languages))
        self._directories: dict[str, _Directory] = {}

    def forget(self) -> None:
        """What was read of directories may be out of date."""
        self._directories.clear()

    def of(self, name: str, until: float) -> Resource | None:
        """The versions of a file's name, None when there is none; raises PermissionError when it may not be read."""
        directory, slash, last = name.rpartition("/")
        marked = self._marked(directory, until)
        where = directory + slash
        plain = self._version(where, last, None, marked)
        languages: dict[str, Version] = {}
        if marked:
            for language in self._languages:
                version = (
                    self._version(where, f"{last}.{language}", language, marked) if f"{last}.{language}" in marked else None
                )
                if version is not None:
                    languages[language] = version
        if plain is None and not languages:
            return None
        programs: dict[str, Version] = {}
        if plain is not None and marked:
            if languages and self._languages[0] not in languages:
                first = self._languages[0]
                plain = Version(plain.name, plain.stat, first, plain.coded)
                languages = {first: plain, **languages}
            for other in sorted(each for each in marked if each.startswith(last + "@") and not each.endswith(_CODED)):
                version = self._version(where, other, None, marked)
                if version is not None:
                    programs[other[len(last) + 1 :]] = version
        return Resource(
            name, media_type(name, self._languages), plain, languages, programs, _vary(plain, languages, programs), until
        )

    def _version(self, where: str, last: str, language: str | None, marked: frozenset[str]) -> Version | None:
        name = where + last
        try:
            stat = self._disk.stat(name)
        except FileNotFoundError:
            return None
        except PermissionError:
            if language is None:
                raise
            return None
        if stat.is_directory:
            return None
        coded: dict[str, tuple[str, FileStat]] = {}
        for ending, coding in CODINGS.items():
            if f"{last}.{ending}" not in marked:
                continue
            try:
                found = self._disk.stat(f"{name}.{ending}")
            except OSError:
                continue
            if not found.is_directory and found.mtime >= stat.mtime:
                coded[coding] = f"{name}.{ending}", found
        return Version(name, stat, language, coded)

    def _marked(self, directory: str, until: float) -> frozenset[str]:
        """Marked names in a directory. It is read again when its time changed, or could have without being seen."""
        kept = self._directories.get(directory)
        if kept is not None and kept.until >= until:
            return kept.marked
        try:
            stat = self._disk.stat(directory)
            same = kept is not None and bool(stat.mtime) and kept.stat == stat
            if kept is not None and same and kept.settled:
                found = kept.marked
            else:
                names = self._disk.list(directory)
                found = frozenset(each for each in names if "@" in each or each.endswith(self._endings))
        except OSError:
            return frozenset()
        if len(self._directories) >= DIRECTORIES:
            self._directories.clear()
        self._directories[directory] = _Directory(
            stat, until, found, same and kept is not None and until > kept.until + TICK
        )
        return found


_CODED = tuple(f".{ending}" for ending in CODINGS)


def _vary(plain: Version | None, languages: Mapping[str, Version], programs: Mapping[str, Version]) -> str:
    named = []
    if languages:
        named.append("Accept-Language")
    if any(version.coded for version in (*languages.values(), *programs.values(), *((plain,) if plain else ()))):
        named.append("Accept-Encoding")
    if programs:
        named.append("User-Agent")
    return ", ".join(named)
