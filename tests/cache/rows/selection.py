"""Vary: RFC 9111 §4.1."""

from tests.cache.steps import FRESH, LATER, NO_STORE, SHORT, At, Lines, Reply, Row, Step, forward, ok, reused, row, validated

X1, X2 = ("X", "1"), ("X", "2")
VARY = ("Vary", "X")


def differs(name: str, vary: Lines, before: Lines, after: Lines, section: str = "9111 §4.1") -> Row:
    """Two requests that may not have one response."""
    return row(name, section, "MUST", forward(ok(FRESH, *vary), *before), forward(ok(NO_STORE), *after))


def same(name: str, vary: str, before: Lines, after: Lines) -> Row:
    """Two requests that may have one response."""
    return row(name, "9111 §4.1", "MAY", forward(ok(FRESH, ("Vary", vary)), *before), reused(*after))


def normalised(name: str, field: str, before: str, after: str) -> Row:
    """Two values that mean the same."""
    return same(f"vary-normalised-{name}", field, [(field, before)], [(field, after)])


def distinct(name: str, field: str, before: str, after: str) -> Row:
    """Two values that look alike and mean something else."""
    return differs(f"vary-distinct-{name}", [("Vary", field)], [(field, before)], [(field, after)])


ROWS: tuple[Row, ...] = (
    same("vary-matches", "X", [X1], [X1]),
    same("vary-matches-in-capitals", "x", [("X", "1")], [("x", "1")]),
    same("vary-matches-absence", "X", [], []),
    same("vary-does-not-name-it", "X", [X1, ("Y", "1")], [X1, ("Y", "2")]),
    same("vary-on-three", "X, Y, Z", [X1, ("Z", "3")], [("Z", "3"), X1]),
    differs("vary-differs", [VARY], [X1], [X2]),
    differs("vary-differs-by-absence-before", [VARY], [], [X1]),
    differs("vary-differs-by-absence-after", [VARY], [X1], []),
    differs("vary-differs-by-emptiness", [VARY], [], [("X", "")]),
    differs("vary-differs-in-the-second", [("Vary", "X, Y")], [X1, ("Y", "1")], [X1, ("Y", "2")]),
    differs("vary-differs-on-the-second-line", [("Vary", "X"), ("Vary", "Y")], [X1, ("Y", "1")], [X1, ("Y", "2")]),
    differs("vary-in-capitals-differs", [("Vary", "x")], [X1], [X2]),
    differs("vary-on-a-cookie", [("Vary", "Cookie")], [("Cookie", "a=1")], [("Cookie", "a=2")]),
    differs("vary-on-host-is-no-wonder", [("Vary", "X, Host")], [X1], [X2]),
    differs(
        "vary-on-authorization", [("Vary", "Authorization"), ("Cache-Control", "public")], [("Authorization", "a b")],
        [],
    ),
    *(
        differs(f"vary-any-{number}", [("Vary", each) for each in values], [X1], [X1])
        for number, values in enumerate((["*"], ["*, *"], ["*", "*"], [", *"], ["*, X"], ["X, *"], ["X", "*"]))
    ),
    row(
        "vary-two-variants", "9111 §4.1", "MAY",
        forward(ok(FRESH, VARY), X1), forward(ok(FRESH, VARY), X2), reused(X1, of=0), reused(X2, of=1), reused(X1, of=0),
    ),
    row(
        "vary-three-variants-are-kept-apart", "9111 §4.1", "MUST",
        forward(ok(FRESH, VARY), X1), forward(ok(FRESH, VARY), X2), forward(ok(FRESH, VARY), ("X", "3")),
        Step((X1,), status=200, of=0, unless_asked=True), Step((X2,), status=200, of=1, unless_asked=True),
    ),
    row(
        "vary-the-most-recent-is-used", "9111 §4", "MUST",
        forward(ok(FRESH, VARY), X1), forward(ok(FRESH, VARY), X1, ("Cache-Control", "no-cache"), wait=1.2),
        Step((X1,), status=200, of=1, unless_asked=True),
    ),
    row(
        "vary-is-forgotten-by-a-default-response", "9111 §4.1", "SHOULD",
        forward(ok(FRESH)), forward(ok(FRESH, VARY), X1, ("Cache-Control", "no-cache"), wait=1.2), forward(ok(NO_STORE), X2),
    ),
    row(
        "vary-changes", "9111 §4.1", "MUST",
        forward(ok(FRESH, VARY), X1, ("Y", "1")),
        forward(ok(FRESH, ("Vary", "X, Y")), X2, ("Y", "1"), wait=1.2), forward(ok(NO_STORE), X2, ("Y", "2")),
    ),
    row(
        "vary-other-tags-are-asked", "9111 §4.1", "MAY",
        forward(ok(FRESH, VARY, ("ETag", '"one"')), X1),
        Step(
            (X2,), reply=Reply(304, (("Date", At(0)), ("ETag", '"one"')), otherwise=ok(NO_STORE)), asked=True,
            status=200, of=0, sent={"if-none-match": '~"one"'},
        ),
    ),
    row(
        "vary-a-304-selects-the-variant", "9111 §4.3.4", "MUST",
        forward(ok(SHORT, VARY, ("ETag", '"one"')), X1), forward(ok(SHORT, VARY, ("ETag", '"two"')), X2),
        validated(
            X1, of=0, wait=LATER,
            reply=Reply(304, (("Date", At(0)), FRESH, ("ETag", '"one"')), otherwise=ok(NO_STORE)),
        ),
        Step((X2,), asked=True),
    ),
    row(
        "vary-a-304-updates-all-of-its-strong-tag", "9111 §4.3.4", "MUST",
        forward(ok(SHORT, VARY, ("ETag", '"one"')), X1), forward(ok(SHORT, VARY, ("ETag", '"one"')), X2),
        validated(
            X1, of=0, wait=LATER, reply=Reply(304, (("Date", At(0)), FRESH, ("ETag", '"one"')), otherwise=ok(NO_STORE))
        ),
        reused(X2, of=1),
    ),
    normalised("spaces-in-accept-language", "Accept-Language", "en, de", " en ,   de"),
    normalised("case-of-accept-language", "Accept-Language", "en, de", "eN, De"),
    normalised("weights-of-accept-language", "Accept-Language", "en;q=0.5, de;q=1", "en; q=0.500, de"),
    normalised("spaces-in-accept-encoding", "Accept-Encoding", "gzip, br", "gzip,br"),
    normalised("case-of-accept-encoding", "Accept-Encoding", "gzip, br", "GZIP, Br"),
    normalised("order-of-accept-encoding", "Accept-Encoding", "gzip, br", "br, gzip"),
    normalised("lines-of-an-unknown-field", "X", "1, 2", "1, 2"),
    row(
        "vary-normalised-unknown-field-on-two-lines", "9111 §4.1", "MAY",
        forward(ok(FRESH, VARY), ("X", "1, 2")), reused(("X", "1"), ("X", "2")),
    ),
    normalised("order-of-accept", "Accept", "text/html, text/plain;q=0.5", "text/plain;q=0.5,text/HTML"),
    distinct("weight-of-accept-encoding", "Accept-Encoding", "gzip;q=0", "gzip"),
    distinct("order-of-accept-language", "Accept-Language", "en, de", "de, en"),
    distinct("case-of-an-unknown-field", "X", "a", "A"),
    distinct("order-of-an-unknown-field", "X", "1, 2", "2, 1"),
    distinct("part-of-a-value", "Accept-Encoding", "gzip", "gzip, br"),
)  # fmt: skip
