"""Media types by a file's name (RFC 9110 §8.3); a table of our own, so that every machine says the same."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "html": "text/html; charset=utf-8",
        "htm": "text/html; charset=utf-8",
        "index": "text/html; charset=utf-8",  # the textbook's /somedepartment/home.index
        "txt": "text/plain; charset=utf-8",
        "md": "text/markdown; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "csv": "text/csv; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "mjs": "text/javascript; charset=utf-8",
        "json": "application/json",
        "xml": "application/xml",
        "mpd": "application/dash+xml",
        "m3u8": "application/vnd.apple.mpegurl",
        "pac": "application/x-ns-proxy-autoconfig",
        "pdf": "application/pdf",
        "zip": "application/zip",
        "gz": "application/gzip",
        "torrent": "application/x-bittorrent",
        "wasm": "application/wasm",
        "pem": "application/x-pem-file",
        "gif": "image/gif",
        "png": "image/png",
        "jpg": "image/jpeg",
        "jpeg": "image/jpeg",
        "webp": "image/webp",
        "avif": "image/avif",
        "svg": "image/svg+xml",
        "ico": "image/vnd.microsoft.icon",
        "mp3": "audio/mpeg",
        "ogg": "audio/ogg",
        "wav": "audio/wav",
        "mp4": "video/mp4",
        "m4s": "video/iso.segment",
        "webm": "video/webm",
        "woff": "font/woff",
        "woff2": "font/woff2",
    }
)


def media_type(name: str, languages: Sequence[str] = ()) -> str:
    """The Content-Type of a file; one whose name ends in a language or in a program has that of the name before it."""
    name = name.rpartition("/")[2]
    before, dot, ending = name.rpartition(".")
    known = _TYPES.get("pac" if name == "wpad.dat" else ending.lower()) if dot else None
    if known is None and ending in languages:
        return media_type(before)
    if known is None and "@" in name:
        return media_type(name.rpartition("@")[0])
    return known or "application/octet-stream"
