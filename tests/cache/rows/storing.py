"""What is stored: RFC 9111 §2, §3, §5.2; RFC 9110 §6.6.1."""

from tests.cache.steps import (
    DEAD,
    FRESH,
    LATER,
    NO_STORE,
    OLD,
    SHORT,
    TAG,
    At,
    Reply,
    Row,
    Step,
    forward,
    is_reused,
    not_reused,
    ok,
    reused,
    row,
    validated,
)  # fmt: skip

AUTH = ("Authorization", "Basic dTpw")
ANYTHING = Step()


def control(value: str) -> tuple[str, str]:
    return "Cache-Control", value


ROWS: tuple[Row, ...] = (
    # The key
    is_reused("fresh", "9111 §4", "MAY", FRESH),
    row("an-empty-body", "9111 §4", "MAY", forward(ok(FRESH, body=b"")), reused()),
    row("query-is-key", "9111 §2", "MUST", forward(ok(FRESH), path="?a=1"), forward(ok(FRESH), path="?a=2")),
    row("query-is-reused", "9111 §2", "MAY", forward(ok(FRESH), path="?a=1"), reused(path="?a=1")),
    row("host-is-key", "9111 §2", "MUST", forward(ok(FRESH)), forward(ok(FRESH), host="b.test")),
    row("percent-encoding-is-key", "9111 §2", "MUST", forward(ok(FRESH), path="/a%2Fb"), forward(ok(FRESH), path="/a/b")),
    row("case-of-the-path-is-key", "9111 §2", "MUST", forward(ok(FRESH), path="/A"), forward(ok(FRESH), path="/a")),
    row("host-in-capitals", "9110 §4.2.3", "MAY", forward(ok(FRESH)), reused(host="A.TEST")),
    row(
        "head-out-of-get", "9110 §9.3.2",
        "MAY", forward(ok(FRESH, ("X", "1"))), reused(method="HEAD", of=-1, got={"x": "1"}),
    ),
    row(
        "get-not-out-of-head", "9111 §3", "MUST",
        forward(ok(FRESH, body=b"content"), method="HEAD"),
        Step(reply=ok(NO_STORE, body=b"content"), status=200, body=b"content"),
    ),
    row("cookies-of-requests", "9111 §3", "MAY", forward(ok(FRESH), ("Cookie", "a=b")), reused(("Cookie", "a=c"))),
    # Methods
    row("post-is-not-get", "9111 §3", "MUST", forward(ok(FRESH), method="POST", content=b"x"), forward(ok(NO_STORE))),
    row("put-is-not-get", "9111 §3", "MUST", forward(ok(FRESH), method="PUT", content=b"x"), forward(ok(NO_STORE))),
    row("options-is-not-get", "9110 §9.3.7", "MUST", forward(ok(FRESH), method="OPTIONS"), forward(ok(NO_STORE))),
    row("post-is-not-answered", "9111 §4", "MUST", forward(ok(FRESH)), forward(ok(FRESH), method="POST", content=b"x")),
    row("delete-is-not-answered", "9111 §4", "MUST", forward(ok(FRESH)), forward(ok(FRESH), method="DELETE")),
    row(
        "post-that-is-the-resource", "9110 §9.3.3", "MAY",
        forward(ok(FRESH, ("Content-Location", "/%ROW%")), method="POST", content=b"x"), reused(),
    ),
    row(
        "post-that-is-another-resource", "9110 §9.3.3", "MUST",
        forward(ok(FRESH, ("Content-Location", "/%ROW%/other")), method="POST", content=b"x"), forward(ok(NO_STORE)),
    ),
    row(
        "post-without-a-lifetime", "9110 §9.3.3", "MUST",
        forward(ok(OLD, ("Content-Location", "/%ROW%")), method="POST", content=b"x"), forward(ok(NO_STORE)),
    ),
    # Directives of responses
    not_reused("no-store", "9111 §5.2.2.5", "MUST", NO_STORE),
    not_reused("no-store-in-capitals", "9111 §5.2", "MUST", control("No-StOrE")),
    not_reused(
        "no-store-beside-lifetimes", "9111 §5.2.2.5",
        "MUST", control("max-age=3600, no-store"), ("Expires", At(3600)),
    ),
    not_reused("no-store-on-the-second-line", "9111 §5.2", "MUST", FRESH, NO_STORE),
    not_reused("no-store-with-an-argument", "9111 §5.2", "MUST", control("max-age=3600, no-store=1")),
    not_reused("private", "9111 §5.2.2.7", "MUST", control("max-age=3600, private")),
    not_reused("private-with-s-maxage", "9111 §5.2.2.7", "MUST", control("s-maxage=3600, private")),
    is_reused("public", "9111 §5.2.2.9", "MAY", control("public, max-age=3600")),
    is_reused("unknown-directives", "9111 §5.2.3", "MUST", control('max-age=3600, community="UCI", foo')),
    not_reused(
        "directives-in-quotes-are-none", "9111 §5.2", "MUST", control('foo="max-age=3600", max-age=1'), wait=LATER
    ),
    row(
        "private-field-is-not-shared", "9111 §5.2.2.7", "MUST",
        forward(ok(control('max-age=3600, private="x"'), ("X", "1"), ("Y", "2")), got={"x": "1"}),
        Step(asked=None, got={"x": None}, unless_asked=True),
    ),
    row(
        "private-field-rest-is-reused", "9111 §5.2.2.7", "MAY",
        forward(ok(control('max-age=3600, private="x"'), ("X", "1"), ("Y", "2"))), reused(got={"x": None, "y": "2"}),
    ),
    row(
        "no-cache-field-is-not-reused", "9111 §5.2.2.4", "MUST",
        forward(ok(control('max-age=3600, no-cache="x"'), ("X", "1"), ("Y", "2")), got={"x": "1"}),
        Step(asked=None, got={"x": None}, unless_asked=True),
    ),
    row(
        "no-cache-field-rest-is-reused", "9111 §5.2.2.4", "MAY",
        forward(ok(control('max-age=3600, no-cache="x"'), ("X", "1"), ("Y", "2"))), reused(got={"x": None, "y": "2"}),
    ),
    not_reused("no-cache", "9111 §5.2.2.4", "MUST", control("max-age=3600, no-cache")),
    not_reused("no-cache-in-capitals", "9111 §5.2", "MUST", control("max-age=3600, NO-CACHE")),
    not_reused("no-cache-with-expires", "9111 §5.2.2.4", "MUST", control("no-cache"), ("Expires", At(3600))),
    row("no-cache-is-validated", "9111 §5.2.2.4", "MAY", forward(ok(control("no-cache"), TAG)), validated()),
    row(
        "no-cache-beside-a-lifetime-is-validated", "9111 §5.2.2.4", "MAY",
        forward(ok(control("max-age=3600, no-cache"), TAG)), validated(), validated(),
    ),
    row(
        "no-cache-and-no-origin", "9111 §4.2.4", "MUST",
        forward(ok(control("no-cache"), TAG)), Step(reply=DEAD, asked=True, status=5),
    ),
    row(
        "must-understand-an-unknown-status", "9111 §5.2.2.3", "MUST",
        forward(ok(control("max-age=3600, no-store, must-understand"), status=599)), forward(ok(NO_STORE)),
    ),
    is_reused("must-understand", "9111 §5.2.2.3", "SHOULD", control("max-age=3600, no-store, must-understand")),
    row(
        "no-transform", "9111 §5.2.2.6", "MUST",
        forward(ok(control("max-age=3600, no-transform"), ("Content-Encoding", "identity"), body=b" as it is \r\n" * 9)),
        reused(("Accept-Encoding", "gzip"), got={"content-encoding": "identity"}),
    ),
    row(
        "directives-pass-to-the-client", "9111 §5.2", "MUST",
        forward(ok(control('max-age=3600, foo="a b", must-revalidate')), got={"cache-control": "~foo="}),
        Step(got={"cache-control": "~must-revalidate"}, unless_asked=True),
    ),
    row(
        "directives-pass-to-the-origin", "9111 §5.2", "MUST",
        forward(ok(NO_STORE), control("no-transform, foo=bar"), sent={"cache-control": "~foo=bar"}),
    ),
    # Directives of requests about storing
    row("request-no-store", "9111 §5.2.1.5", "SHOULD", forward(ok(FRESH), control("no-store")), forward(ok(NO_STORE))),
    # Statuses
    *(
        not_reused(f"status-{status}-without-a-lifetime", "9111 §3", "MUST", OLD, status=status)
        for status in (201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599)
    ),
    *(
        is_reused(f"status-{status}-with-a-lifetime", "9111 §3", "MAY", FRESH, status=status)
        for status in (203, 204, 300, 301, 302, 303, 307, 308, 400, 403, 404, 410, 414, 451, 500, 501, 503, 599)
    ),
    not_reused("status-599-of-no-lifetime-but-expired", "9111 §3", "MUST", ("Expires", At(-10)), status=599),
    # Authorization
    row("authorization", "9111 §3.5", "MUST", forward(ok(FRESH), AUTH), forward(ok(NO_STORE))),
    row(
        "authorization-of-another", "9111 §3.5",
        "MUST", forward(ok(FRESH), AUTH), forward(ok(FRESH), ("Authorization", "x y")),
    ),
    *(
        row(
            f"authorization-and-{said.partition('=')[0]}", "9111 §3.5", "MAY",
            forward(ok(control(f"max-age=3600, {said}")), AUTH), reused(),
        )
        for said in ("public", "must-revalidate", "s-maxage=3600")
    ),
    row(
        "authorization-is-passed-on", "9110 §11.6.2", "MUST",
        forward(ok(NO_STORE), AUTH, sent={"authorization": "Basic dTpw"}),
    ),
    # Fields
    row(
        "unknown-fields-are-stored", "9111 §3.1", "MUST",
        forward(ok(FRESH, ("X-Unknown", "1"), ("Content-Foo", "2"))), reused(got={"x-unknown": "1", "content-foo": "2"}),
    ),
    row(
        "several-lines-are-stored", "9111 §3.1", "MUST",
        forward(ok(FRESH, ("Link", "<a>"), ("Link", "<b>"))), reused(got={"link": "<a>, <b>"}),
    ),
    *(
        row(
            f"stored-{name.lower()}",
            "9111 §3.1",
            "MUST",
            forward(ok(FRESH, (name, value))),
            reused(got={name.lower(): value}),
        )
        for name, value in (
            ("Content-Type", "text/plain;charset=utf-8"), ("Content-Language", "en"), ("Content-Location", "/x"),
            ("Content-Encoding", "identity"), ("ETag", '"one"'), ("Expires", "Fri, 01 Jan 2038 00:00:00 GMT"),
            ("Last-Modified", OLD[1]), ("Content-Security-Policy", "default-src 'self'"), ("X-Frame-Options", "deny"),
            ("Vary", "X-Nothing"),
            ("Content-Range", "x"),
            ("Strict-Transport-Security", "max-age=1"),
            ("Access-Control-Allow-Origin", "*"),
        )
    ),
    row(
        "fields-that-connection-names-are-not-stored", "9111 §3.1", "MUST",
        forward(ok(FRESH, ("Connection", "x, keep-alive"), ("X", "1"), ("Y", "2"))), reused(got={"x": None, "y": "2"}),
    ),
    *(
        row(
            f"not-stored-{name.lower()}",
            "9111 §3.1",
            "MUST",
            forward(ok(FRESH, (name, value))),
            reused(got={name.lower(): None}),
        )
        for name, value in (
            ("Proxy-Authenticate", "Basic realm=x"),
            ("Proxy-Authentication-Info", "x=y"),
            ("Proxy-Authorization", "Basic x"),
        )
    ),
    row(
        "a-missing-date-is-added", "9110 §6.6.1", "MUST",
        Step(reply=Reply(200, (FRESH,)), asked=True, got={"date": "~GMT"}), reused(got={"date": "~GMT"}),
    ),
    row(
        "trailers-are-no-fields", "9111 §3.1", "MUST",
        forward(Reply(200, (("Date", At(0)), FRESH, ("Trailer", "X-End")), chunked=True, trailers=(("X-End", "1"),))),
        reused(got={"x-end": None}), sockets=True,
    ),
    # Set-Cookie: the RFC leaves it to the cache (§7.3); what is the origin's explicit wish is another matter
    row(
        "set-cookie-said-public", "9111 §7.3",
        "MAY", forward(ok(("Cache-Control", "public, max-age=3600"), ("Set-Cookie", "a=b"))), reused(),
    ),
    row(
        "set-cookie-is-not-given-to-others", "9111 §7.3", "SHOULD",
        forward(ok(FRESH, ("Set-Cookie", "session=1"))), Step(asked=None, got={"set-cookie": None}, unless_asked=True),
    ),
    # Incomplete
    row(
        "a-body-cut-short-is-not-whole", "9111 §3.3", "MUST",
        Step(reply=Reply(200, (("Date", At(0)), FRESH), b"0123456789", cut=5), asked=True),
        forward(ok(NO_STORE, body=b"0123456789"), body=b"0123456789"), sockets=True,
    ),
    row(
        "chunks-cut-short-are-not-whole", "9111 §3.3", "MUST",
        Step(reply=Reply(200, (("Date", At(0)), FRESH), b"0123456789", cut=5, chunked=True), asked=True),
        forward(ok(NO_STORE, body=b"0123456789"), body=b"0123456789"), sockets=True,
    ),
    row(
        "a-body-cut-short-is-completed", "9111 §3.3", "MAY",
        Step(reply=Reply(200, (("Date", At(0)), FRESH, TAG), b"0123456789", cut=5), asked=True),
        Step(
            reply=Reply(
                206, (("Date", At(0)), FRESH, TAG, ("Content-Range", "bytes 5-9/10")), b"56789",
                otherwise=ok(NO_STORE, body=b"0123456789"),
            ),
            asked=True, status=200, body=b"0123456789", sent={"range": "bytes=5-", "if-range": '"one"'}, wait=1.0,
        ),
        Step(asked=False, status=200, body=b"0123456789", wait=1.0), sockets=True,
    ),
    # Interim responses
    row(
        "early-hints-pass", "9110 §15.2", "MUST",
        forward(Reply(200, (("Date", At(0)), FRESH), interim=(103, (("Link", "<a>"),))), interim=103), sockets=True,
    ),
    row(
        "early-hints-are-not-stored", "9111 §3", "MUST",
        forward(Reply(200, (("Date", At(0)), FRESH), interim=(103, (("X-Hint", "1"),)))), reused(got={"x-hint": None}),
        sockets=True,
    ),
    # A later response that may not be stored
    row(
        "after-validation-the-new-one-counts", "9111 §4.3.3", "MUST",
        forward(ok(SHORT, TAG)), forward(ok(NO_STORE), wait=LATER), forward(ok(FRESH)), reused(of=2),
    ),
)  # fmt: skip
