"""Pages for people: what went wrong, and what to do."""

from html import escape
from http import HTTPStatus

_TITLES = {413: "Content Too Large", 414: "URI Too Long"}
_ADVICE = {
    401: "A name and a password are needed to change something here.",
    403: "The server may not show this: it is a directory without an index page, or a file that the site does not give out.",
    404: "Nothing is stored here under that name. Names distinguish capital and small letters.",
    405: "Files can be read with GET and HEAD.",
    406: "The request refuses every version that the server has. Ask without the field, or with a weight above 0.",
    408: "The connection was waiting for the rest of a request that did not come in time.",
    409: "A directory has no content of its own: name a file in it.",
    416: "The file has no octets in the ranges that were asked for; Content-Range says how many it has.",
    421: "This server has no site of that name.",
    501: "The server does not know this method.",
}


def error_page(status: int, reason: str = "") -> bytes:
    """An HTML page for an error status; `reason` says what was wrong with this very request."""
    title = f"{status} {_TITLES.get(status) or HTTPStatus(status).phrase}"
    told = "".join(f"<p>{escape(text)}</p>\n" for text in (reason, _ADVICE.get(status, "")) if text)
    return _page(title, told)


def moved_page(location: str) -> bytes:
    """The body of a redirect, for those that do not follow it."""
    place = escape(location, quote=True)
    return _page("301 Moved Permanently", f'<p>This page is at <a href="{place}">{place}</a>.</p>\n')


def _page(title: str, content: str) -> bytes:
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body>\n<h1>{title}</h1>\n{content}</body>\n</html>\n"
    ).encode()
