"""Small applications: the chapter's form by GET, whose words are in the URL, and the one by POST; and a tracker."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from html import escape

from netstack.http.answers import PAGE, content, error
from netstack.http.application import Call
from netstack.http.cookies import LONGEST, SameSite, parse_cookies, set_cookie
from netstack.http.events import Respond
from netstack.http.forms import URLENCODED, media_type_of, parse_form
from netstack.http.multipart import boundary_of, parse_multipart
from netstack.http.wire import Request
from netstack.sansio import Peer

MULTIPART = "multipart/form-data"
PARTS = 100
"""Parts of one upload."""
WORDS = 10
"""Words of one search."""
TRACKED = "tracked"
"""The tracker's cookie."""
TRACKED_VISITORS, TRACKED_PAGES = 1000, 100
"""Of whom it knows something, the newest; pages of each, the newest."""
DOT = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
"""A picture of one pixel that nobody sees."""
FOUND: Mapping[str, str] = {
    "monkeys": "Monkeys live in troops, and most of them in trees.",
    "bananas": "Bananas are berries; monkeys peel them, too.",
    "kiwis": "A kiwi is a fruit, a bird, or somebody from New Zealand.",
    "elephants": "Elephants remember the way to the water.",
    "penguins": "Penguins fly under water.",
    "crocodiles": "Crocodiles eat nothing for months if need be.",
}
"""What there is to find."""
_HTML = "text/html; charset=utf-8"
_STYLE = (
    "body{margin:3rem auto;max-width:42rem;padding:0 1.25rem;font:16px/1.5 system-ui,'Liberation Sans',sans-serif;"
    "color:#1d2733;background:#f3f5f8}form,section{background:#fff;border:1px solid #d9dfe6;border-radius:.6rem;"
    "padding:1.25rem 1.5rem;margin:0 0 1.25rem}h1{font-size:1.6rem}h2{font-size:1.15rem;margin:0 0 .6rem}"
    "input{font:inherit;padding:.5rem .65rem;border:1px solid #aeb8c4;border-radius:.35rem;max-width:100%}"
    "input[name=animals],input[name=q]{width:70%}label{display:block;font-weight:600;margin:.6rem 0 .25rem}"
    "button{font:inherit;font-weight:600;padding:.5rem 1.2rem;border:0;border-radius:.35rem;background:#1556a8;color:#fff;"
    "margin-top:.6rem}dt{font-weight:600}dd{margin:0 0 .6rem}table{border-collapse:collapse;width:100%}"
    "th{white-space:nowrap;max-width:12rem;overflow:hidden}"
    "td,th{text-align:left;padding:.3rem .8rem .3rem 0;vertical-align:top;overflow-wrap:anywhere}"
    "code{font-family:ui-monospace,'Liberation Mono',monospace;font-size:.9rem}"
)


class Search:
    """A form that is sent by GET: `/animalsearch?monkeys&bananas` finds both, as does `?q=monkeys+bananas`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        return _judged(request, self._path, ("GET",))

    def answer(self, call: Call) -> Respond:
        fields = parse_form(call.request.query or "")
        told = (value or name for name, value in fields.pairs)
        words = list(dict.fromkeys(word for text in told for word in text.lower().split()))[:WORDS]
        form = (
            f'<form action="{escape(self._path)}"><h2><label for="q">Which animals?</label></h2>'
            f'<input id="q" name="q" value="{escape(" ".join(words))}" placeholder="monkeys bananas" autofocus> '
            "<button>Search</button></form>"
        )
        found = "".join(
            f"<dt>{escape(word)}</dt><dd>{FOUND.get(word, 'Nothing is known about that.')}</dd>" for word in words
        )
        return _page("Animal search", form + (f"<section><dl>{found}</dl></section>" if found else ""))


class Upload:
    """A form that is sent by POST, with files or without: the answer says what came. Nothing of it is kept."""

    def __init__(self, path: str) -> None:
        self._path = path

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        refusal = _judged(request, self._path, ("GET", "POST"))
        if refusal is None and request.method == "POST" and media_type_of(request) not in (URLENCODED, MULTIPART):
            said = media_type_of(request)[:80] or "none"
            wanted = f"{URLENCODED}, {MULTIPART}"
            return error(415, f"The content has to be a form, not {said}.", f"Accept: {wanted}\r\n".encode())
        return refusal

    def answer(self, call: Call) -> Respond:
        if call.request.method != "POST":
            return _page("Upload", self._forms())
        if media_type_of(call.request) == MULTIPART:
            boundary = boundary_of(call.request.fields["content-type"])
            rows = [
                (part.name, part.content.decode("utf-8", "replace"), "")
                if part.filename is None
                else (part.name, part.filename, f"{part.media[:80]}, {_described(part.content)}")
                for part in parse_multipart(call.body, boundary, PARTS)
            ]
        else:
            rows = [(name, value, "") for name, value in parse_form(call.body).pairs]
        lines = "".join(
            f"<tr><th>{escape(name[:200])}</th><td>{escape(value[:2000])}</td><td><code>{escape(more)}</code></td></tr>"
            for name, value, more in rows
        )
        came = f"<h2>This came</h2><table>{lines}</table>" if rows else "An empty form came."
        return _page("Upload", f"<section>{came}</section>{self._forms()}")

    def _forms(self) -> str:
        path = escape(self._path)
        return (
            f'<form method="post" action="{path}"><h2>Some words</h2><label for="animals">Your animals</label>'
            '<input id="animals" name="animals" value="monkeys & bananas"><br><button>Send them</button></form>'
            f'<form method="post" action="{path}" enctype="{MULTIPART}"><h2>A file</h2>'
            '<label for="picture">Picture</label><input id="picture" type="file" name="picture" multiple>'
            '<label for="note">What it shows</label><input id="note" name="note"><br><button>Upload it</button></form>'
        )


class Tracker:
    """What other sites' pages show: a picture whose requests say which page it is on (Referer), and whose cookie says who.

    `PATH` is the picture, and asks for a cookie that goes along from other sites; `PATH?Lax` and `PATH?Strict` ask for one
    that does not (RFC 6265bis §5.2). `PATH?profile` shows what is known about whoever asks.
    """

    def __init__(self, path: str, random: Callable[[int], bytes]) -> None:
        self._path = path
        self._random = random
        self._pages: dict[str, list[str]] = {}

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        return _judged(request, self._path, ("GET",))

    def answer(self, call: Call) -> Respond:
        request, asked = call.request, call.request.query or ""
        who = parse_cookies(request.fields.get("cookie", "")).get(TRACKED, "")
        if asked == "profile":
            pages = "".join(f"<li>{escape(page)}</li>" for page in self._pages.get(who, ()))
            return _page("What the tracker knows", f"<section><ol>{pages}</ol></section>")
        fields = b"Cache-Control: no-store\r\n"
        if who not in self._pages:
            who = self._random(16).hex()
            same_site: SameSite = "Lax" if asked == "Lax" else "Strict" if asked == "Strict" else "None"
            told = set_cookie(
                TRACKED, who, max_age=LONGEST, path=self._path, secure=call.secure, same_site=_told(same_site, call)
            )
            fields += f"Set-Cookie: {told}\r\n".encode()
            if len(self._pages) >= TRACKED_VISITORS:
                del self._pages[next(iter(self._pages))]
            self._pages[who] = []
        pages_of = self._pages[who]
        pages_of.append(request.fields.get("referer", "")[:200])
        del pages_of[:-TRACKED_PAGES]
        return content(200, "image/gif", DOT, fields)


def _told(same_site: SameSite, call: Call) -> SameSite:
    """A cookie that goes along from other sites has to be Secure: in the clear nothing is said, which is Lax."""
    return same_site if call.secure or same_site != "None" else ""


def _judged(request: Request, path: str, methods: tuple[str, ...]) -> Respond | None:
    if request.path != path:
        return error(404, f"There is nothing at {request.path[:200]}.")
    if request.method != "HEAD" and request.method not in methods:
        allow = f"Allow: {', '.join((*methods, 'HEAD'))}\r\n".encode()
        return error(405, f"{request.method[:80]} is not for {path}.", allow)
    return None


def _described(data: bytes) -> str:
    return f"{len(data)} octets, SHA-256 {sha256(data).hexdigest()}"


def _page(title: str, text: str) -> Respond:
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{text}\n</body>\n</html>\n"
    )
    return content(200, _HTML, page.encode(), PAGE)
