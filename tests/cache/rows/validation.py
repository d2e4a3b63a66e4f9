"""Validation, conditions of clients, freshening, HEAD, invalidation: RFC 9111 §3.2, §4.3, §4.4; RFC 9110 §13, §15.4.5."""

from tests.cache.steps import (
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
    ok,
    reused,
    row,
    validated,
)  # fmt: skip

NONE_MATCH = "If-None-Match"
SINCE = ("If-Modified-Since", OLD[1])
EARLIER = ("If-Modified-Since", "Tue, 31 Dec 2019 23:59:59 GMT")
SOON = ("If-Modified-Since", "Thu, 02 Jan 2020 00:00:00 GMT")
WEAK = ("ETag", 'W/"one"')


def control(value: str) -> tuple[str, str]:
    return "Cache-Control", value


def unmodified(*fields: tuple[str, str | At]) -> Reply:
    """304 to a conditional request, else a new response."""
    return Reply(304, (("Date", At(0)), *fields), otherwise=ok(NO_STORE))


def not_modified(*fields: tuple[str, str | At]) -> Step:
    """The cache answers with 304 itself."""
    return Step(fields, asked=False, status=304, of=-1)


MADE: tuple[Row, ...] = (
    row(
        "if-none-match-is-made", "9111 §4.3.1",
        "MUST", forward(ok(SHORT, TAG)), validated(wait=LATER, sent={"if-none-match": '"one"'}),
    ),
    row(
        "if-none-match-of-a-weak-tag", "9111 §4.3.1",
        "MUST", forward(ok(SHORT, WEAK)),
        validated(wait=LATER, reply=unmodified(WEAK), sent={"if-none-match": 'W/"one"'}),
    ),
    row(
        "if-modified-since-is-made", "9111 §4.3.1",
        "SHOULD", forward(ok(SHORT, OLD)),
        validated(wait=LATER, reply=unmodified(OLD), sent={"if-modified-since": OLD[1]}),
    ),
    row(
        "both-are-made", "9111 §4.3.1",
        "SHOULD", forward(ok(SHORT, TAG, OLD)),
        validated(wait=LATER, sent={"if-none-match": '"one"', "if-modified-since": OLD[1]}),
    ),
    row(
        "no-condition-without-a-validator", "9111 §4.3.1",
        "MUST", forward(ok(SHORT)),
        forward(ok(FRESH), wait=LATER, sent={"if-none-match": None, "if-modified-since": None}),
    ),
    row(
        "selecting-fields-are-sent", "9111 §4.3.1", "MUST",
        forward(ok(SHORT, TAG, ("Vary", "X")), ("X", "1")), validated(("X", "1"), wait=LATER, sent={"x": "1"}),
    ),
    row(
        "a-304-makes-fresh", "9111 §4.3.4",
        "MAY", forward(ok(SHORT, TAG)), validated(wait=LATER, reply=unmodified(TAG, FRESH)), reused(),
    ),
    row(
        "a-304-without-validators", "9111 §4.3.4",
        "MAY", forward(ok(SHORT, TAG)), validated(wait=LATER, reply=unmodified(FRESH)), reused(),
    ),
    row(
        "a-304-without-last-modified", "9111 §4.3.4",
        "MAY", forward(ok(SHORT, OLD)), validated(wait=LATER, reply=unmodified(FRESH)), reused(),
    ),
    row(
        "a-full-response-replaces", "9111 §4.3.3", "MUST",
        forward(ok(SHORT, TAG)), forward(ok(FRESH, ("ETag", '"two"')), wait=LATER), reused(of=1, got={"etag": '"two"'}),
    ),
    row(
        "a-5xx-while-validating-is-passed-on", "9111 §4.3.3",
        "MAY", forward(ok(SHORT, TAG)), forward(Reply(503, (("Date", At(0)), NO_STORE)), wait=LATER),
    ),
    row(
        "a-5xx-while-validating-replaces-nothing", "9111 §4.3.3", "MAY",
        forward(ok(SHORT, TAG)), forward(Reply(503, (("Date", At(0)), NO_STORE)), wait=LATER), validated(),
    ),
    row(
        "a-304-with-another-strong-tag-updates-nothing", "9111 §4.3.4", "MUST",
        forward(ok(SHORT, TAG, ("X", "1"))),
        Step(
            wait=LATER,
            reply=Reply(304, (("Date", At(0)), FRESH, ("ETag", '"two"'), ("X", "2")), otherwise=ok(FRESH, ("X", "3"))),
            asked=True,
        ),
        Step(reply=ok(NO_STORE, ("X", "4")), status=200, got={"x": "!2"}),
    ),
    row(
        "a-304-of-a-weak-tag-updates", "9111 §4.3.4", "MUST",
        forward(ok(SHORT, WEAK, ("X", "1"))),
        validated(wait=LATER, reply=unmodified(WEAK, FRESH, ("X", "2"))),
        reused(got={"x": "2"}),
    ),
    row(
        "a-304-to-no-condition", "9110 §15.4.5", "MUST",
        Step(reply=Reply(304, (("Date", At(0)), FRESH, TAG)), asked=True), forward(ok(NO_STORE)),
    ),
)  # fmt: skip


def updates(name: str, value: str, other: str) -> Row:
    """A field of a 304 takes the place of what was stored."""
    return row(
        f"a-304-updates-{name.lower()}", "9111 §3.2", "MUST",
        forward(ok(SHORT, TAG, (name, value))),
        validated(wait=LATER, reply=unmodified(TAG, FRESH, (name, other)), got={name.lower(): other}),
        reused(got={name.lower(): other}),
    )  # fmt: skip


FRESHENED: tuple[Row, ...] = (
    updates("X-Test", "1", "2"),
    updates("Content-Foo", "1", "2"),
    updates("Content-Type", "text/plain", "text/plain;charset=utf-8"),
    updates("Content-Language", "en", "fr"),
    updates("Content-Security-Policy", "default-src 'self'", "default-src 'none'"),
    updates("Expires", "Fri, 01 Jan 2038 00:00:00 GMT", "Mon, 11 Jan 2038 00:00:00 GMT"),
    updates("Link", "<a>", "<b>"),
    row(
        "a-304-keeps-what-it-does-not-name", "9111 §3.2", "MUST",
        forward(ok(SHORT, TAG, ("X", "1"))),
        validated(wait=LATER, reply=unmodified(TAG, FRESH), got={"x": "1"}),
        reused(got={"x": "1"}),
    ),
    row(
        "a-304-adds-what-is-new", "9111 §3.2", "MUST",
        forward(ok(SHORT, TAG)),
        validated(wait=LATER, reply=unmodified(TAG, FRESH, ("X", "1")), got={"x": "1"}),
        reused(got={"x": "1"}),
    ),
    row(
        "a-304-does-not-update-content-length", "9111 §3.2", "MUST",
        forward(ok(SHORT, TAG, body=b"0123456789")),
        validated(
            wait=LATER, reply=unmodified(TAG, FRESH, ("Content-Length", "3")), body=b"0123456789",
            got={"content-length": "10"},
        ),
        reused(body=b"0123456789", got={"content-length": "10"}), sockets=True,
    ),
    row(
        "a-304-with-a-new-lifetime", "9111 §3.2", "MUST",
        forward(ok(SHORT, TAG)),
        validated(wait=LATER, reply=unmodified(TAG, control("max-age=0"))),
        validated(reply=unmodified(TAG)),
    ),
    row(
        "a-304-with-no-store", "9111 §5.2.2.5", "MUST",
        forward(ok(SHORT, TAG)), validated(wait=LATER, reply=unmodified(TAG, NO_STORE)), Step(asked=True),
    ),
    row(
        "a-304-of-hop-by-hop-fields", "9111 §3.2", "MUST",
        forward(ok(SHORT, TAG)),
        validated(wait=LATER, reply=unmodified(TAG, FRESH, ("Connection", "x"), ("X", "1")), got={"x": None}),
        reused(got={"x": None}),
    ),
    row(
        "a-304-resets-the-age", "9111 §4.2.3", "MUST",
        forward(ok(SHORT, TAG, ("Age", "50"))),
        validated(wait=LATER, reply=unmodified(TAG, FRESH)),
        reused(got={"age": "!52"}),
    ),
)  # fmt: skip

CLIENTS: tuple[Row, ...] = (
    row("client-if-none-match", "9111 §4.3.2", "SHOULD", forward(ok(FRESH, TAG)), not_modified((NONE_MATCH, '"one"'))),
    row(
        "client-if-none-match-weakly", "9110 §13.1.2",
        "MUST", forward(ok(FRESH, TAG)), not_modified((NONE_MATCH, 'W/"one"')),
    ),
    row(
        "client-if-none-match-of-a-weak-tag", "9110 §13.1.2",
        "MUST", forward(ok(FRESH, WEAK)), not_modified((NONE_MATCH, '"one"')),
    ),
    row(
        "client-if-none-match-first-of-a-list", "9110 §13.1.2",
        "MUST", forward(ok(FRESH, TAG)), not_modified((NONE_MATCH, '"one", "two"')),
    ),
    row(
        "client-if-none-match-last-of-a-list", "9110 §13.1.2",
        "MUST", forward(ok(FRESH, TAG)), not_modified((NONE_MATCH, '"a,b" , "two",W/"one"')),
    ),
    row(
        "client-if-none-match-on-two-lines", "9110 §5.3",
        "MUST", forward(ok(FRESH, TAG)), not_modified((NONE_MATCH, '"two"'), (NONE_MATCH, '"one"')),
    ),
    row("client-if-none-match-any", "9110 §13.1.2", "MUST", forward(ok(FRESH, TAG)), not_modified((NONE_MATCH, "*"))),
    row("client-if-none-match-of-another", "9110 §13.1.2", "MUST", forward(ok(FRESH, TAG)), reused((NONE_MATCH, '"two"'))),
    row(
        "client-if-none-match-without-a-tag", "9110 §13.1.2",
        "MUST", forward(ok(FRESH)), Step(((NONE_MATCH, '"one"'),), status=200, of=0, unless_asked=True),
    ),
    row(
        "client-if-none-match-goes-first", "9110 §13.1.3",
        "MUST", forward(ok(FRESH, TAG, OLD)), reused((NONE_MATCH, '"two"'), SINCE),
    ),
    row(
        "client-if-none-match-goes-first-and-holds", "9110 §13.1.3",
        "MUST", forward(ok(FRESH, TAG, OLD)), not_modified((NONE_MATCH, '"one"'), EARLIER),
    ),
    row("client-if-modified-since", "9111 §4.3.2", "SHOULD", forward(ok(FRESH, OLD)), not_modified(SINCE)),
    row("client-if-modified-since-later", "9110 §13.1.3", "SHOULD", forward(ok(FRESH, OLD)), not_modified(SOON)),
    row("client-if-modified-since-earlier", "9110 §13.1.3", "MUST", forward(ok(FRESH, OLD)), reused(EARLIER)),
    row(
        "client-if-modified-since-of-rfc-850", "9110 §5.6.7",
        "MUST", forward(ok(FRESH, OLD)), not_modified(("If-Modified-Since", "Wednesday, 01-Jan-20 00:00:00 GMT")),
    ),
    row(
        "client-if-modified-since-invalid", "9110 §13.1.3",
        "MUST", forward(ok(FRESH, OLD)), reused(("If-Modified-Since", "today")),
    ),
    row(
        "client-if-modified-since-twice", "9110 §13.1.3", "MUST",
        forward(ok(FRESH, OLD)), Step((SINCE, SINCE), status=200, of=0, unless_asked=True),
    ),
    row(
        "client-if-modified-since-without-last-modified", "9111 §4.3.2",
        "SHOULD", forward(Reply(200, (("Date", At(-10)), FRESH))), not_modified(("If-Modified-Since", At(-5))),
    ),
    row(
        "client-conditions-do-not-count-for-301", "9110 §13.2.1", "MUST",
        forward(ok(FRESH, TAG, status=301)), Step(((NONE_MATCH, '"one"'),), status=301, of=0, unless_asked=True),
    ),
    row(
        "client-conditions-do-not-count-for-404", "9110 §13.2.1",
        "MUST", forward(ok(FRESH, TAG, status=404)), reused((NONE_MATCH, '"one"'), status=404),
    ),
    row(
        "client-if-match-is-the-origins", "9111 §4.3.2", "MUST",
        forward(ok(FRESH, TAG)),
        Step((("If-Match", '"two"'),), reply=ok(NO_STORE, status=412), status=200, of=0, unless_asked=True),
    ),
    row(
        "client-if-unmodified-since-is-the-origins", "9111 §4.3.2", "MUST",
        forward(ok(FRESH, OLD)),
        Step(
            (("If-Unmodified-Since", EARLIER[1]),), reply=ok(NO_STORE, status=412), status=200, of=0,
            unless_asked=True,
        ),
    ),
    row(
        "conditions-of-post-are-the-origins", "9111 §4.3.2",
        "MUST", forward(ok(FRESH, TAG)),
        forward(ok(NO_STORE), (NONE_MATCH, '"one"'), method="POST", content=b"x", sent={"if-none-match": '"one"'}),
    ),
    row(
        "client-condition-without-a-stored-response", "9111 §4.3.2",
        "MUST", Step(((NONE_MATCH, '"one"'),), reply=unmodified(TAG), asked=True),
    ),
    row(
        "client-condition-is-forwarded-with-the-304", "9110 §15.4.5",
        "MAY",
        Step(
            ((NONE_MATCH, '"one"'),), reply=unmodified(TAG), asked=True, sent={"if-none-match": '"one"'}, status=304,
            of=-1,
        ),
    ),
    row(
        "client-tag-is-another-than-the-304s", "9111 §4.3.2", "MUST",
        forward(ok(SHORT, TAG)), validated((NONE_MATCH, '"two"'), wait=LATER, reply=unmodified(TAG)),
    ),
    row(
        "client-tag-beside-ours", "9111 §4.3.2", "MAY",
        forward(ok(SHORT, TAG)),
        Step(
            ((NONE_MATCH, '"two"'),), wait=LATER, reply=unmodified(("ETag", '"two"')), asked=True, status=304,
            sent={"if-none-match": '~"one"'},
        ),
    ),
    row(
        "client-is-told-304-after-validation", "9111 §4.3.2", "SHOULD",
        forward(ok(SHORT, TAG)),
        Step(((NONE_MATCH, '"one"'),), wait=LATER, reply=unmodified(TAG), asked=True, status=304, of=-1),
    ),
    row(
        "fields-of-a-304", "9110 §15.4.5", "MUST",
        forward(ok(FRESH, TAG, ("Content-Location", "/x"), ("Vary", "X"), ("Expires", "Fri, 01 Jan 2038 00:00:00 GMT"))),
        Step(((NONE_MATCH, '"one"'),), asked=False, status=304, of=-1, got={
            "etag": '"one"', "content-location": "/x", "vary": "X", "expires": "Fri, 01 Jan 2038 00:00:00 GMT",
            "cache-control": "max-age=3600", "date": "~GMT",
        }),
    ),
    row(
        "fields-that-a-304-leaves-out", "9110 §15.4.5", "SHOULD",
        forward(ok(FRESH, TAG, OLD, ("Content-Type", "text/plain"), ("Content-Language", "en"))),
        Step(((NONE_MATCH, '"one"'),), asked=False, status=304, of=-1, got={"content-type": None, "content-language": None}),
    ),
    row(
        "head-with-a-condition", "9110 §13.1.2",
        "MUST", forward(ok(FRESH, TAG)), Step(((NONE_MATCH, '"one"'),), "HEAD", asked=False, status=304, of=-1),
    ),
)  # fmt: skip

HEADS: tuple[Row, ...] = (
    row("head-is-passed-on", "9111 §4.3.5", "MAY", forward(ok(SHORT)), forward(ok(FRESH), method="HEAD", wait=LATER, of=-1)),
    row(
        "head-freshens", "9111 §4.3.5", "SHOULD",
        forward(ok(SHORT, TAG, ("X", "1"), body=b"0123456789")),
        Step(method="HEAD", wait=LATER, reply=ok(FRESH, TAG, ("X", "2"), body=b"0123456789"), asked=True),
        reused(body=b"0123456789", got={"x": "2"}),
    ),
    row(
        "head-with-another-tag", "9111 §4.3.5", "SHOULD",
        forward(ok(FRESH, TAG)),
        Step((control("no-cache"),), "HEAD", reply=ok(FRESH, ("ETag", '"two"')), asked=True),
        forward(ok(NO_STORE)),
    ),
    row(
        "head-with-another-length", "9111 §4.3.5", "SHOULD",
        forward(ok(FRESH, TAG, body=b"0123456789")),
        Step((control("no-cache"),), "HEAD", reply=ok(FRESH, TAG, body=b"0123"), asked=True),
        forward(ok(NO_STORE)),
    ),
)  # fmt: skip

POST = {"method": "POST", "content": b"x"}
INVALIDATION: tuple[Row, ...] = (
    *(
        row(
            f"{method.lower()}-invalidates", "9111 §4.4", "MUST",
            forward(ok(FRESH)), forward(ok(NO_STORE), method=method, content=content), forward(ok(NO_STORE)),
        )
        for method, content in (("POST", b"x"), ("PUT", b"x"), ("DELETE", b""), ("PATCH", b"x"), ("FOO", b""))
    ),
    *(
        row(
            f"post-answered-with-{status}-invalidates", "9111 §4.4", "MUST",
            forward(ok(FRESH)), forward(ok(NO_STORE, status=status), **POST), forward(ok(NO_STORE)),
        )
        for status in (201, 204, 303)
    ),
    *(
        row(
            f"post-answered-with-{status}-does-not", "9111 §4.4", "MAY",
            forward(ok(FRESH)), forward(ok(NO_STORE, status=status), **POST), reused(),
        )
        for status in (400, 404, 500)
    ),
    row(
        "options-does-not-invalidate", "9111 §4.4",
        "MAY", forward(ok(FRESH)), forward(ok(NO_STORE), method="OPTIONS"), reused(),
    ),
    *(
        row(
            f"{name.lower()}-is-invalidated", "9111 §4.4", "MAY",
            forward(ok(FRESH), path="/target"),
            forward(ok(NO_STORE, (name, "target")), path="/do", **POST),
            forward(ok(NO_STORE), path="/target"),
        )
        for name in ("Location", "Content-Location")
    ),
    *(
        row(
            f"{name.lower()}-of-another-origin-is-not", "9111 §4.4", "MUST",
            forward(ok(FRESH), path="/target", host="b.test"),
            forward(ok(NO_STORE, (name, "http://b.test/%ROW%/target")), path="/do", **POST),
            reused(path="/target", host="b.test"),
        )
        for name in ("Location", "Content-Location")
    ),
    row(
        "another-query-is-not-invalidated", "9111 §4.4",
        "MAY", forward(ok(FRESH), path="?a"), forward(ok(NO_STORE), **POST), reused(path="?a"),
    ),
)  # fmt: skip

ROWS: tuple[Row, ...] = MADE + FRESHENED + CLIENTS + HEADS + INVALIDATION
