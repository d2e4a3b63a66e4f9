"""The files of a site as representations: their fields ready as octets, small contents kept (RFC 9110 §8)."""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from netstack.http.media import media_type
from netstack.http.values import http_date
from netstack.http.wire import BadMessage
from netstack.kernel.disk import Disk, FileStat, OpenFile


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bounds of one site's store, in octets."""

    inline: int = 64 * 1024
    """A file up to this size is sent in one piece with its head, and its content is kept."""
    kept: int = 16 * 1024 * 1024
    """Contents kept; then all are dropped."""


@dataclass(frozen=True, slots=True, eq=False)
class Representation:
    """A file as it is served."""

    stat: FileStat
    fields: bytes
    """Content-Type, Last-Modified and ETag, each line with its CRLF."""
    validators: bytes
    """Last-Modified and ETag alone, for 304."""
    etag: str
    modified: int
    content: bytes | None
    """None for a large file."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The path names a directory and lacks its slash."""

    location: str


class Store:
    """One directory of a disk. A file's content is kept as long as its size and its time stay the same."""

    def __init__(self, disk: Disk, index: tuple[str, ...], limits: StoreLimits) -> None:
        self._disk = disk
        self._index = index
        self._limits = limits
        self._kept: dict[str, Representation] = {}
        self._octets = 0

    def find(self, path: str) -> Representation | Moved:
        """What is at a percent-encoded path; raises BadMessage (400), FileNotFoundError or PermissionError."""
        name = file_name(path)
        if name.endswith("/") or not name:
            return self._represent(*self._index_of(name))
        stat = self._disk.stat(name)
        if stat.is_directory:
            return Moved(_encoded(name) + "/")
        return self._represent(name, stat)

    def open(self, path: str) -> tuple[Representation, OpenFile]:
        """The file of a representation without content, as it is now, and its representation."""
        name = file_name(path)
        if name.endswith("/") or not name:
            name, _ = self._index_of(name)
        file = self._disk.open(name)
        return _representation(name, file.stat, None), file

    def _index_of(self, directory: str) -> tuple[str, FileStat]:
        for index in self._index:
            try:
                stat = self._disk.stat(directory + index)
            except FileNotFoundError:
                continue
            if not stat.is_directory:
                return directory + index, stat
        if directory and not self._disk.stat(directory.rstrip("/")).is_directory:
            raise NotADirectoryError(directory)
        raise PermissionError(f"{directory or '/'} has no index")

    def _represent(self, name: str, stat: FileStat) -> Representation:
        kept = self._kept.get(name)
        if kept is not None and kept.stat == stat:
            return kept
        content = None
        if stat.size <= self._limits.inline:
            file = self._disk.open(name)
            try:
                stat = file.stat
                content = file.read_at(0, stat.size)
            finally:
                file.close()
        found = _representation(name, stat, content)
        self._keep(name, found)
        return found

    def _keep(self, name: str, found: Representation) -> None:
        old = self._kept.pop(name, None)
        if old is not None:
            self._octets -= _weight(old)
        if self._octets + _weight(found) > self._limits.kept:
            self._kept.clear()
            self._octets = 0
        if _weight(found) <= self._limits.kept:
            self._kept[name] = found
            self._octets += _weight(found)


def _representation(name: str, stat: FileStat, content: bytes | None) -> Representation:
    etag = f'"{int(stat.mtime * 1_000_000):x}-{stat.size:x}"'
    modified = int(stat.mtime)
    validators = f"Last-Modified: {http_date(modified)}\r\nETag: {etag}\r\n".encode()
    fields = f"Content-Type: {media_type(name)}\r\n".encode() + validators
    return Representation(stat, fields, validators, etag, modified, content)


def _weight(representation: Representation) -> int:
    return 512 + len(representation.content or b"")


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
