"""What Web servers show: pages and pictures made here, written to a machine's disk before its server starts.

Dates and sizes are those of the chapter's dialogues where it gives them, so that a response can be laid beside the book.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path

from netstack.kernel.disk import Disk
from netstack.world import mail
from netstack.world.addresses import AddressTable
from netstack.world.model import Host, World

KIWI_MODIFIED = 1441790604.0
"""Wed, 09 Sep 2015 09:23:24 GMT: the Last-Modified field of the chapter's conditional GET."""
PAGE_MODIFIED = 1439910663.0
"""Tue, 18 Aug 2015 15:11:03 GMT: that of its first response."""
PAGE_SIZE = 6821
"""Its Content-Length."""
EDITION = "2"
"""Changed whenever a generator here changes: content on disk is made again."""
MAP_STYLE = (
    "body{font-family:sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.25em .8em;border-bottom:1px solid #ddd}th{background:#f2f2f2}"
    "td:nth-child(n+3){font-family:monospace}"
)
MOST_FILES = 10_000
"""In a directory of one's own."""
STAMP = ".edition"
"""Ending of the file beside a site that says what is in it."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a site: made when it is written, and only then."""

    make: Callable[[], bytes]
    modified: float | None = PAGE_MODIFIED
    """None: the time of writing, for what is another page in another run."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a generator may write about."""

    world: World
    table: AddressTable
    host: Host
    ca: bytes
    endpoints: Mapping[str, Mapping[str, Sequence[str]]]
    """Host -> service -> where it listens, as `udp:53`, with the ports in use."""


Files = Mapping[str, File]


def files(content: str, subject: Subject) -> Files:
    """The files of a site, by path: a generated one or a directory's; raises KeyError for an unknown one, OSError."""
    if "/" in content:
        return _own(directory(content, subject.world))
    found = CONTENTS[content](subject)
    proxy = _proxy(subject)
    if proxy is not None and any(name.startswith("wpad.") for name in subject.host.aliases):
        found = {**found, "wpad.dat": File(lambda: _configuration(subject, proxy), None)}
    return found


def _proxy(subject: Subject) -> str | None:
    """HOST:PORT of the Web cache of the host's site."""
    name = subject.world.sites[subject.host.site].proxy
    listens = () if name is None else subject.endpoints[name].get("cache", ())
    return next((f"{name}:{each.removeprefix('tcp:')}" for each in listens if each.startswith("tcp:")), None)


def _configuration(subject: Subject, proxy: str) -> bytes:
    """The file that tells the browsers of a site to use its Web cache: a function of the URL, in JavaScript ("PAC")."""
    zones = [zone.name for zone in subject.world.zones.values() if zone.site == subject.host.site]
    own = " || ".join(["isPlainHostName(host)", *(f'host == "{zone}" || dnsDomainIs(host, ".{zone}")' for zone in zones)])
    return (
        "function FindProxyForURL(url, host) {\n"
        f'    if ({own})\n        return "DIRECT";\n'
        f'    return "PROXY {proxy}; DIRECT";\n'
        "}\n"
    ).encode()


def directory(content: str, world: World) -> Path:
    """The directory that a content with a "/" in its name is: relative to the world's file."""
    return Path(world.file).parent / content


def _own(folder: Path) -> Files:
    """What lies in a directory, without hidden files. Read when it is written; dates are whole seconds, as in HTTP."""
    found: dict[str, File] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") for part in inside.parts):
            continue
        if len(found) == MOST_FILES:
            raise OSError(f"more than {MOST_FILES} files in {folder}")
        found[inside.as_posix()] = File(path.read_bytes, float(int(path.stat().st_mtime)))
    return found


def write(disk: Disk, root: str, site: Files) -> bool:
    """Put a site's files below `root`, and no others, unless they are there already; whether something was written."""
    stamp = _stamp(site)
    try:
        if disk.read(root + STAMP) == stamp and all(
            disk.stat(f"{root}/{path}").mtime == file.modified or file.modified is None for path, file in site.items()
        ):
            return False
    except OSError:
        pass
    for stray in [path for path in _below(disk, root) if path.removeprefix(f"{root}/") not in site]:
        disk.remove(stray)
    for path, file in site.items():
        disk.write(f"{root}/{path}", file.make(), file.modified)
    disk.write(root + STAMP, stamp)
    return True


def _below(disk: Disk, directory: str) -> Iterator[str]:
    """The files in a directory and its directories; none where it is not there."""
    try:
        names = disk.list(directory)
    except FileNotFoundError:
        return
    for name in names:
        path = f"{directory}/{name}"
        if disk.stat(path).is_directory:
            yield from _below(disk, path)
        else:
            yield path


def page(title: str, body: str, language: str = "en", style: str = "") -> bytes:
    """An HTML page."""
    style = style and f"<style>{style}</style>\n"
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"{style}</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    ).encode()


def _stamp(site: Files) -> bytes:
    """Of the edition and of the files that depend on the world, which are cheap to make."""
    digest = sha256(EDITION.encode())
    for path, file in site.items():
        digest.update(f"\n{path} {file.modified}\n".encode())
        if not path.endswith((".gif", ".png")):
            digest.update(file.make())
    return digest.hexdigest().encode() + b"\n"


@cache
def _scene(number: int, kind: str) -> bytes:
    from netstack.world.pictures import scene

    picture = scene(number)
    return picture.gif() if kind == "gif" else picture.png()


@cache
def _kiwi() -> bytes:
    from netstack.world.pictures import kiwi

    return kiwi().gif()


def _plain(subject: Subject) -> Files:
    """One page that says where one is."""
    name = subject.host.name
    text = f"<p>This is {escape(name)}, in the world {escape(subject.world.name)}.</p>"
    return {"index.html": File(lambda: page(name, text))}


def _gaia(subject: Subject) -> Files:
    """A department's server."""
    text = (
        "<p>The Computer Networks group, Department of Computer Science, University of Massachusetts.</p>\n"
        '<p><img src="gaia.png" width="160" height="120" alt="the campus"></p>\n'
        '<p><a href="kurose_ross/interactive/index.html">Exercises</a></p>'
    )
    exercise = "<p>How many messages does it take to find this host's address when nothing is cached?</p>"
    return {
        "index.html": File(lambda: page("gaia.cs.umass.edu", text)),
        "gaia.png": File(lambda: _scene(20, "png")),
        "kurose_ross/interactive/index.html": File(lambda: page("Exercises", exercise)),
    }


IMAGES = tuple(f"image{number}.{'gif' if number % 2 else 'png'}" for number in range(1, 11))
"""The ten images of the base page."""


def _someschool(subject: Subject) -> Files:
    """The chapter's base page with ten images, its `page.html`, its picture of the campus."""
    images = "\n".join(
        f'<img src="{name}" width="160" height="120" alt="picture {at}">' for at, name in enumerate(IMAGES, 1)
    )
    home = page("Some Department", f"<p>Ten pictures of the department:</p>\n<p>\n{images}\n</p>")
    links = (
        '<ul>\n<li><a href="somedepartment/home.index">Some department</a>, with ten pictures</li>\n'
        '<li><a href="somedir/page.html">A page</a>, in English and in French</li>\n'
        '<li><a href="somedir/browser.html">A page for your browser</a></li>\n'
        '<li><a href="campus.gif">The campus</a></li>\n</ul>'
    )
    found = {
        "index.html": File(lambda: page("Some School", links)),
        "somedepartment/home.index": File(lambda: home),
        "somedir/page.html": File(_somedir_page),
        "somedir/page.html.fr": File(_somedir_page_french),
        "somedir/browser.html": File(lambda: _browser_page("")),
        "campus.gif": File(lambda: _scene(11, "gif")),
    }
    for program in PROGRAMS:
        found[f"somedir/browser.html@{program}"] = File(_for_program(program))
    for number, name in enumerate(IMAGES, 1):
        found[f"somedepartment/{name}"] = File(_drawn(number, name.rpartition(".")[2]))
    return found


def _drawn(number: int, kind: str) -> Callable[[], bytes]:
    return lambda: _scene(number, kind)


@cache
def _somedir_page() -> bytes:
    """As long as the chapter says that it is."""
    sentence = "The server has sent the object that the client asked for. "
    empty = len(page("A page", "<p></p>"))
    text = (sentence * (PAGE_SIZE // len(sentence) + 1))[: PAGE_SIZE - empty]
    return page("A page", f"<p>{text}</p>")


@cache
def _somedir_page_french() -> bytes:
    """The same page for those who prefer French (Accept-Language)."""
    text = "Le serveur a envoyé l'objet que le client a demandé. " * 100
    return page("Une page", f"<p>{text.strip()}</p>", "fr")


PROGRAMS = ("Chrome", "Firefox", "Wget", "curl")
"""Programs that get a version of `/somedir/browser.html` of their own (User-Agent)."""


def _for_program(program: str) -> Callable[[], bytes]:
    return lambda: _browser_page(program)


def _browser_page(program: str) -> bytes:
    """The chapter's server that sends different versions of an object to different types of browsers."""
    told = f"Your browser says that it is {program}, and this version is for it." if program else "Your browser is new here."
    return page("Your browser", f"<p>{told} The server read the User-Agent field of the request.</p>")


def _exotiquecuisine(subject: Subject) -> Files:
    """The chapter's kiwi."""
    text = '<p><a href="fruit/kiwi.gif"><img src="fruit/kiwi.gif" width="120" height="120" alt="a kiwi"></a></p>'
    return {
        "index.html": File(lambda: page("Exotique Cuisine", text)),
        "fruit/kiwi.gif": File(_kiwi, KIWI_MODIFIED),
    }


def _map(subject: Subject) -> Files:
    """A plain page with all hosts, their addresses and endpoints, and the CA for download."""
    world, table = subject.world, subject.table

    def listening(host: Host) -> str:
        return escape("; ".join(" ".join((name, *where)) for name, where in subject.endpoints[host.name].items()))

    def named(host: Host) -> str:
        web = any(service.plugin in ("origin", "registrar") for service in host.services)
        return f'<a href="http://{escape(host.name)}/">{escape(host.name)}</a>' if web else escape(host.name)

    rows = "\n".join(
        f"<tr><td>{named(host)}</td><td>{escape(host.site)}</td><td>{', '.join(table.hosts[host.name])}</td>"
        f"<td>{listening(host)}</td></tr>"
        for host in world.hosts.values()
    )
    offset = f"<p>Every port is {table.port_offset} more than the standard one.</p>\n" if table.port_offset else ""
    authority = '<p><a href="ca.pem">The world\'s certificate authority (PEM)</a></p>\n' if subject.ca else ""
    text = (
        f"<p>{escape(world.title)}</p>\n{offset}{authority}<table>\n"
        f"<tr><th>Host</th><th>Site</th><th>Addresses</th><th>Endpoints</th></tr>\n{rows}\n</table>"
    )
    found = {"index.html": File(lambda: page(f"The world {world.name}", text, style=MAP_STYLE), None)}
    if subject.ca:
        found["ca.pem"] = File(lambda: subject.ca, None)
    return found


def _mta_sts(subject: Subject) -> Files:
    domain = subject.host.name.removeprefix(mail.POLICY_HOST)
    return {".well-known/mta-sts.txt": File(lambda: mail.policy(subject.world, domain).encode())}


CONTENTS: Mapping[str, Callable[[Subject], Files]] = {
    "plain": _plain,
    "gaia": _gaia,
    "someschool": _someschool,
    "exotiquecuisine": _exotiquecuisine,
    "map": _map,
    "mta-sts": _mta_sts,
}
"""Generated contents by the name that an origin's option `content` gives."""
