"""Requests to a Web server, octet by octet, with the statuses of ours and of others, and why they differ."""

from tests.interop.http_site import NAME, PAGE

HOST = f"Host: {NAME}"


def lines(*parts: str) -> bytes:
    """A request from its lines."""
    return "\r\n".join((*parts, "", "")).encode("latin-1")


def get(target: str, *fields: str, method: str = "GET") -> bytes:
    return lines(f"{method} {target} HTTP/1.1", HOST, *fields)


FUTURE = "Fri, 01 Jan 2100 00:00:00 GMT"
PAST = "Sun, 06 Nov 1994 08:49:37 GMT"

# (what, request, our statuses, nginx's statuses, why they differ)
REQUESTS: list[tuple[str, bytes, list[int], list[int], str]] = [
    ("a page", get(PAGE), [200], [200], ""),
    ("the root", get("/"), [200], [200], ""),
    ("HTTP/1.0 without Host", lines("GET / HTTP/1.0"), [200], [200], ""),
    ("HTTP/1.0 keep-alive, two requests", lines("GET / HTTP/1.0", "Connection: keep-alive") * 2, [200, 200], [200, 200], ""),
    ("HTTP/1.0, two requests", lines("GET / HTTP/1.0") * 2, [200], [200], ""),
    ("two pipelined requests", get("/") + get("/none"), [200, 404], [200, 404], ""),
    ("close, then another", get("/", "Connection: close") + get("/"), [200], [200], ""),
    ("HEAD", get("/", method="HEAD"), [200], [200], ""),
    ("a directory without its slash", get("/somedepartment"), [301], [301], ""),
    ("a directory without an index", get("/nothing/"), [403], [403], ""),
    ("nothing there", get("/none"), [404], [404], ""),
    ("a slash after a file", get("/index.html/"), [404], [404], ""),
    ("an encoded name", get("/a%20b.txt"), [200], [200], ""),
    ("an empty file", get("/empty.txt"), [200], [200], ""),
    ("doubled slashes", get("//somedepartment//home.index"), [200], [200], ""),
    ("dot segments", get("/nothing/../index.html"), [200], [200], ""),
    ("out of the root", get("/../index.html"), [400], [400], ""),
    ("encoded dots out of the root", get("/%2e%2e/index.html"), [400], [400], ""),
    (
        "an encoded slash",
        get("/somedepartment%2Fhome.index"),
        [404],
        [200],
        "an encoded slash is no separator here, so no file has the name; nginx decodes it first",
    ),
    ("an encoded null", get("/index.html%00"), [400], [400], ""),
    ("a bad escape", get("/%zz"), [400], [400], ""),
    ("a query", get("/index.html?a=b"), [200], [200], ""),
    ("absolute form", lines(f"GET http://{NAME}/index.html HTTP/1.1", HOST), [200], [200], ""),
    ("an unknown host", lines("GET / HTTP/1.1", "Host: other.test"), [200], [200], ""),
    ("no Host", lines("GET / HTTP/1.1"), [400], [400], ""),
    ("two Hosts", get("/", HOST), [400], [400], ""),
    ("an empty Host", lines("GET / HTTP/1.1", "Host:"), [400], [400], ""),
    ("a Host with a slash", lines("GET / HTTP/1.1", "Host: a/b"), [400], [400], ""),
    (
        "not modified since",
        get("/", f"If-Modified-Since: {FUTURE}"),
        [304],
        [200],
        "nginx takes the date for a tag by default (if_modified_since exact); RFC 9110 §13.1.3 compares",
    ),
    ("modified since", get("/", f"If-Modified-Since: {PAST}"), [200], [200], ""),
    ("any tag", get("/", "If-None-Match: *"), [304], [304], ""),
    ("another tag", get("/", 'If-None-Match: "x"'), [200], [200], ""),
    ("if a tag matches", get("/", 'If-Match: "x"'), [412], [412], ""),
    ("if unmodified since", get("/", f"If-Unmodified-Since: {PAST}"), [412], [412], ""),
    ("POST to a file", get("/", "Content-Length: 0", method="POST"), [405], [405], ""),
    ("DELETE", get("/", method="DELETE"), [405], [405], ""),
    ("OPTIONS", get("/", method="OPTIONS"), [204], [405], "RFC 9110 §9.3.7: the methods are told; nginx has no OPTIONS"),
    ("OPTIONS *", get("*", method="OPTIONS"), [204], [400], "nginx has no asterisk form"),
    ("TRACE", get("/", method="TRACE"), [405], [405], ""),
    ("CONNECT", lines(f"CONNECT {NAME}:443 HTTP/1.1", HOST), [405], [400], "both refuse; nginx takes it for no request"),
    (
        "an unknown method",
        get("/", method="BREW"),
        [501],
        [405],
        "RFC 9110 §15.6.2: 501 for a method that is not recognised",
    ),
    (
        "a method in small letters",
        get("/", method="get"),
        [501],
        [400],
        "methods are case-sensitive, so it is an unknown one; nginx allows capitals only",
    ),
    ("a range", get("/index.html", "Range: bytes=0-3"), [206], [206], ""),
    ("the end", get("/index.html", "Range: bytes=-3"), [206], [206], ""),
    ("from somewhere on", get("/index.html", "Range: bytes=3-"), [206], [206], ""),
    ("two ranges", get("/index.html", "Range: bytes=0-3,10-13"), [206], [206], ""),
    ("a range behind the end", get("/index.html", "Range: bytes=9000-"), [416], [416], ""),
    ("one range of two behind the end", get("/index.html", "Range: bytes=0-1,9000-"), [206], [206], ""),
    (
        "a range that is none",
        get("/index.html", "Range: bytes=x-y"),
        [200],
        [416],
        "RFC 9110 §14.2: a malformed Range is ignored",
    ),
    ("a range in another unit", get("/index.html", "Range: pages=1-2"), [200], [200], ""),
    ("a range of an empty file", get("/empty.txt", "Range: bytes=0-"), [416], [200], "nothing can be satisfied (§14.1.2)"),
    (
        "too many ranges",
        get("/index.html", "Range: bytes=" + ",".join(f"{at}-{at}" for at in range(0, 40, 2))),
        [200],
        [206],
        "more than 16 ranges get the whole file (§14.2 lets a server refuse such); nginx has no bound by default",
    ),
    ("a range if the tag is another", get("/index.html", "Range: bytes=0-3", 'If-Range: "x"'), [200], [200], ""),
    (
        "a range with HEAD",
        get("/index.html", "Range: bytes=0-3", method="HEAD"),
        [200],
        [206],
        "Range has a meaning for GET alone (§14.2)",
    ),
    (
        "no coding but gzip",
        get("/index.html", "Accept-Encoding: gzip, identity;q=0"),
        [406],
        [200],
        "the client refuses what there is; nginx does not look",
    ),
    (
        "every type refused",
        get("/index.html", "Accept: text/html;q=0"),
        [406],
        [200],
        "the client refuses what there is; nginx does not look",
    ),
    ("PUT without writers", get("/new.txt", "Content-Length: 0", method="PUT"), [405], [405], ""),
    (
        "an unknown expectation",
        get("/", "Expect: wonders"),
        [417],
        [200],
        "RFC 9110 §10.1.1 allows 417; nginx ignores what it does not know",
    ),
    ("HTTP/2.0", lines("GET / HTTP/2.0", HOST), [505], [505], ""),
    ("HTTP/1.2", lines("GET / HTTP/1.2", HOST), [200], [200], ""),
    ("no version", b"GET /\r\n", [400], [], "nginx speaks HTTP/0.9: the file without a status"),
    (
        "bare line feeds",
        b"GET / HTTP/1.1\nHost: a\n\n",
        [400],
        [200],
        "we refuse what another parser could read differently, and say how to send CRLF",
    ),
    ("a continued line", get("/", "X: a", " b"), [400], [400], ""),
    ("space before a colon", get("/", "X : a"), [400], [400], ""),
    ("a null in a value", get("/", "X: a\0b"), [400], [400], ""),
    ("length and chunked", get("/", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n", [400], [400], ""),
    ("two lengths", get("/", "Content-Length: 0", "Content-Length: 0"), [400], [400], ""),
    ("a length with a sign", get("/", "Content-Length: +0"), [400], [400], ""),
    ("a body on GET by length", get("/", "Content-Length: 3") + b"abc" + get("/"), [200, 200], [200, 200], ""),
    (
        "a body on GET in chunks",
        get("/", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n" + get("/"),
        [200, 200],
        [200, 200],
        "",
    ),
    ("chunked in HTTP/1.0", lines("GET / HTTP/1.0", "Transfer-Encoding: chunked") + b"0\r\n\r\n", [400], [400], ""),
    ("another coding", get("/", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", [501], [501], ""),
    (
        "a bad chunk size",
        get("/", "Transfer-Encoding: chunked") + b"+3\r\nabc\r\n0\r\n\r\n",
        [200],
        [400],
        "the file is sent before the body is read; both close the connection",
    ),
    ("a body that is too large", get("/", "Content-Length: 2000000", method="POST"), [413], [413], ""),
    ("a target that is too long", get("/" + "a" * 9000), [414], [414], ""),
    (
        "a field that is too large",
        get("/", "X: " + "a" * 40_000),
        [431],
        [400],
        "RFC 6585 §5: 431; nginx's own status for it is 494, sent as 400",
    ),
]

DATE = "it has been given dates that lie ahead, which Apache takes for wrong clocks"
PERMISSIVE = "RFC 9112 §6.3 lets a server read it by the coding alone; refusing it cannot be turned against others"
APACHE: dict[str, tuple[list[int], str]] = {
    "a directory without an index": (
        [404],
        "no listing is configured: Apache says that nothing is there, 403 says that nothing is shown",
    ),
    "an encoded null": ([404], "no file can have that name; RFC 3986 §7.3 warns of it, so the request is at fault"),
    "not modified since": ([200], DATE),
    "POST to a file": ([200], "Apache gives the file as for GET; nothing here takes what was posted"),
    "OPTIONS": ([200], "with an empty body; 204 says that there is none"),
    "OPTIONS *": ([200], "with an empty body; 204 says that there is none"),
    "a range of an empty file": ([200], "nothing can be satisfied (§14.1.2)"),
    "too many ranges": ([206], "more than 16 ranges get the whole file; Apache's bound is 200"),
    "a range with HEAD": ([206], "Range has a meaning for GET alone (§14.2)"),
    "no coding but gzip": ([200], "the client refuses what there is; Apache does not look without mod_negotiation"),
    "every type refused": ([200], "the client refuses what there is; Apache does not look without mod_negotiation"),
    "HTTP/2.0": ([200], "RFC 9110 §15.6.6: 505 for a major version that is not spoken so"),
    "no version": ([], "Apache speaks HTTP/0.9: the file without a status"),
    "a continued line": ([200], "RFC 9112 §5.2: a server refuses or joins them; Apache joins"),
    "length and chunked": ([200], PERMISSIVE),
    "chunked in HTTP/1.0": ([200], PERMISSIVE),
    "another coding": ([200], "Apache sends the file before it looks at the coding; RFC 9112 §6.1 asks for 501"),
    "a bad chunk size": ([400], "the file is sent before the body is read; both close the connection"),
    "a field that is too large": ([400], "RFC 6585 §5: 431"),
}
"""Where Apache's statuses are not ours."""
