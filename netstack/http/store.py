"""The files of a site as representations: fields ready as octets, small contents kept, large files open (RFC 9110 §8)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from netstack.http.negotiation import choose_coding, choose_language, choose_program, refuses_type
from netstack.http.values import http_date
from netstack.http.versions import Resource, Version, Versions
from netstack.http.wire import BadMessage
from netstack.kernel.disk import TEMPORARY, Disk, FileStat, OpenFile
from netstack.sansio import FileSlice
from netstack.sansio.bounds import all_positive


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bounds of one site's store, in octets, seconds and counts."""

    inline: int = 64 * 1024
    """A file up to this size is sent in one piece with its head, and its content is kept."""
    kept: int = 16 * 1024 * 1024
    """Contents kept; then all are dropped."""
    paths: int = 4096
    """Paths whose versions are remembered; then all are forgotten."""
    files: int = 256
    """Large files kept open; then all are let go."""
    check: float = 1.0
    """A path that was looked up less than so many seconds ago is not looked up again."""

    def __post_init__(self) -> None:
        all_positive(self, or_none=("inline", "kept", "paths", "files", "check"))


@dataclass(frozen=True, slots=True, eq=False)
class Representation:
    """A file as it is served."""

    stat: FileStat
    media: str
    fields: bytes
    """Content-Type and others, Last-Modified, ETag and Accept-Ranges, each line with its CRLF."""
    validators: bytes
    """Of them those that 304 has (RFC 9110 §15.4.5)."""
    etag: str
    modified: int
    content: bytes | None
    """None for a large file."""
    file: OpenFile | None = None
    """Of a large file; closed when the representation and all bodies made of it are gone."""

    def part(self, offset: int, length: int) -> bytes | FileSlice:
        """Some of the content."""
        if self.content is not None:
            return self.content[offset : offset + length] if length != len(self.content) else self.content
        assert self.file is not None  # noqa: S101  one of the two is there
        return FileSlice(_Lease(self.file), offset, length)


class _Lease:
    """An open file that others use too: `close` lets go of it, and who lets go last closes it."""

    __slots__ = ("_file",)

    def __init__(self, file: OpenFile) -> None:
        self._file: OpenFile | None = file

    def fileno(self) -> int:
        return -1 if self._file is None else self._file.fileno()

    def read_at(self, offset: int, length: int) -> bytes:
        return b"" if self._file is None else self._file.read_at(offset, length)

    def close(self) -> None:
        self._file = None


@dataclass(frozen=True, slots=True)
class Moved:
    """The path names a directory and lacks its slash."""

    location: str


class Store:
    """One directory of a disk. A path is looked up at most once in `check` seconds; content is read when it changed."""

    def __init__(
        self,
        disk: Disk,
        index: tuple[str, ...],
        languages: tuple[str, ...],
        limits: StoreLimits,
        seconds: Callable[[], float],
    ) -> None:
        self.disk = disk
        self._index = index
        self._languages = languages
        self._limits = limits
        self._seconds = seconds
        self._versions = Versions(disk, languages)
        self._resources: dict[str, Resource] = {}
        self._kept: dict[tuple[str, str], Representation] = {}
        """By the name that was asked for and the file's."""
        self._octets = 0
        self._open = 0

    def find(self, path: str, fields: Mapping[str, str]) -> Representation | Moved:
        """What is at a percent-encoded path, in the version that the request's fields ask for.

        Raises BadMessage (400, 406), FileNotFoundError or PermissionError.
        """
        resource = self._resources.get(path)
        if resource is None or self._seconds() >= resource.until:
            found = self._look(path)
            if isinstance(found, Moved):
                return found
            resource = found
            if len(self._resources) >= self._limits.paths:
                self._resources.clear()
            self._resources[path] = resource
        return self._choose(resource, fields)

    def until(self, path: str) -> float:
        """When a path that was found is looked up again: monotonic seconds."""
        resource = self._resources.get(path)
        return 0.0 if resource is None else resource.until

    def changed(self) -> None:
        """A file was written or removed: all paths are looked up again."""
        self._resources.clear()
        self._versions.forget()

    def current(self, path: str) -> tuple[str, Representation | None]:
        """The name of the file that a change of a path is about, and that file as it is now; raises as `find` does."""
        name = served_name(path)
        if name.endswith("/") or not name:
            raise IsADirectoryError(name)
        self.changed()
        resource = self._versions.of(name, self._seconds())
        if resource is None or resource.plain is None:
            if self._is_directory(name):
                raise IsADirectoryError(name)
            return name, None
        return name, self._represent(resource, resource.plain, "identity")

    def _is_directory(self, name: str) -> bool:
        try:
            return self.disk.stat(name).is_directory
        except FileNotFoundError:
            return False

    def _look(self, path: str) -> Resource | Moved:
        name = served_name(path)
        until = self._seconds() + self._limits.check
        if name.endswith("/") or not name:
            return self._index_of(name, until)
        if self._is_directory(name):
            return Moved(_encoded(name) + "/")
        resource = self._versions.of(name, until)
        if resource is None:
            raise FileNotFoundError(name)
        return resource

    def _index_of(self, directory: str, until: float) -> Resource:
        for index in self._index:
            resource = self._versions.of(directory + index, until)
            if resource is not None:
                return resource
        if directory and not self.disk.stat(directory.rstrip("/")).is_directory:
            raise NotADirectoryError(directory)
        raise PermissionError(f"{directory or '/'} has no index")

    def _choose(self, resource: Resource, fields: Mapping[str, str]) -> Representation:
        """RFC 9110 §12.1: the server chooses; raises BadMessage (406) for what the client refuses."""
        version = resource.plain
        if resource.programs:
            program = choose_program(fields.get("user-agent"), tuple(resource.programs))
            version = version if program is None else resource.programs[program]
        if resource.languages and version is resource.plain:
            language = choose_language(fields.get("accept-language"), tuple(resource.languages))
            if language is None:
                names = ", ".join(each.name.rpartition("/")[2] for each in resource.languages.values())
                raise BadMessage(f"Every language that there is was refused by Accept-Language. There are: {names}.", 406)
            version = resource.languages[language]
        assert version is not None  # noqa: S101  a resource without a plain version has languages
        if refuses_type(fields.get("accept"), resource.media):
            raise BadMessage(f"This is {resource.media}, which the Accept field of the request refuses.", 406)
        accepted = fields.get("accept-encoding")
        if accepted is None or (not version.coded and "=" not in accepted):
            coding = "identity"
        else:
            sizes = {"identity": version.stat.size, **{name: stat.size for name, (_, stat) in version.coded.items()}}
            found = choose_coding(accepted, sizes)
            if found is None:
                told = ", ".join(sizes)
                raise BadMessage(
                    f"Every content coding that there is was refused by Accept-Encoding. There are: {told}.", 406
                )
            coding = found
        return self._represent(resource, version, coding)

    def _represent(self, resource: Resource, version: Version, coding: str) -> Representation:
        name, stat = (version.name, version.stat) if coding == "identity" else version.coded[coding]
        kept = self._kept.get((resource.name, name))
        if kept is not None and kept.stat == stat:
            return kept
        found = self._read(resource, version, coding, name)
        self._keep((resource.name, name), found)
        return found

    def _read(self, resource: Resource, version: Version, coding: str, name: str) -> Representation:
        """The file as it is now: its stat is taken when it is opened."""
        file = self.disk.open(name)
        stat = file.stat
        content = None
        if stat.size <= self._limits.inline:
            try:
                content = file.read_at(0, stat.size)
            finally:
                file.close()
        etag = f"{int(stat.mtime * 1_000_000):x}-{stat.size:x}"
        described = ""
        if version.language is not None:
            etag += f"-{version.language}"
            described = f"Content-Language: {version.language}\r\n"
        if coding != "identity":
            etag += f"-{coding}"
            described += f"Content-Encoding: {coding}\r\n"
        modified = int(stat.mtime)
        validators = f'Last-Modified: {http_date(modified)}\r\nETag: "{etag}"\r\n'
        if version.name != resource.name:
            validators += f"Content-Location: {_encoded(version.name)}\r\n"
        if resource.vary:
            validators += f"Vary: {resource.vary}\r\n"
        media = resource.media
        fields = f"Content-Type: {media}\r\n{described}{validators}Accept-Ranges: bytes\r\n"
        opened = file if content is None else None
        return Representation(stat, media, fields.encode(), validators.encode(), f'"{etag}"', modified, content, opened)

    def _keep(self, key: tuple[str, str], found: Representation) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self._octets -= _weight(old)
            self._open -= old.file is not None
        full = found.file is not None and self._open >= self._limits.files
        if full or self._octets + _weight(found) > self._limits.kept:
            self._kept.clear()
            self._octets = self._open = 0
        if _weight(found) <= self._limits.kept and (found.file is None or self._limits.files):
            self._kept[key] = found
            self._octets += _weight(found)
            self._open += found.file is not None


def _weight(representation: Representation) -> int:
    return 512 + len(representation.content or b"")


def served_name(path: str) -> str:
    """As `file_name`, but what a disk has not finished writing has no name."""
    name = file_name(path)
    if TEMPORARY in name and any(part.startswith(TEMPORARY) for part in name.split("/")):
        raise FileNotFoundError(name)
    return name


def file_name(path: str) -> str:
    """A relative file name from a percent-encoded path: dot segments resolved, empty ones dropped (RFC 3986 §5.2.4).

    Raises BadMessage for what can be no path, FileNotFoundError for what can be no file's name.
    """
    if "%" in path:
        octets = unquote_to_bytes(path)
        if path.count("%") != sum(1 for at, sign in enumerate(path) if sign == "%" and _hexadecimal(path[at + 1 : at + 3])):
            raise BadMessage("a percent sign in the path is not followed by two hexadecimal digits (RFC 3986 §2.1)")
        if "%2f" in path.lower():
            raise FileNotFoundError("a file's name has no slash")
        try:
            path = octets.decode()
        except UnicodeDecodeError:
            raise FileNotFoundError("names here are UTF-8") from None
    if "\0" in path:
        raise BadMessage("the path contains a null octet")
    segments: list[str] = []
    parts = path.split("/")
    for part in parts:
        if part == "..":
            if not segments:
                raise BadMessage("the path leads out of the site")
            segments.pop()
        elif part and part != ".":
            segments.append(part)
    if segments and parts[-1] in ("", ".", ".."):
        segments.append("")
    return "/".join(segments)


def _hexadecimal(text: str) -> bool:
    return len(text) == 2 and all(sign in "0123456789abcdefABCDEF" for sign in text)


def _encoded(name: str) -> str:
    """A name as an absolute path in a URL."""
    kept = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/!$&'()*+,;=@".encode()  # noqa: UP012
    return "/" + "".join(chr(octet) if octet in kept else f"%{octet:02X}" for octet in name.encode())
