"""Ranges out of stored responses, partial content that is stored: RFC 9110 §13.1.5, §14, §15.3.7; RFC 9111 §3.3, §3.4."""

from dataclasses import replace

from tests.cache.steps import FRESH, NO_STORE, OLD, SHORT, TAG, At, Reply, Row, Step, forward, ok, reused, row

BODY = b"0123456789"
WEAK = ("ETag", 'W/"one"')
EXPIRES = ("Expires", "Fri, 01 Jan 2038 00:00:00 GMT")
WHOLE = ok(FRESH, TAG, OLD, ("Content-Type", "text/plain"), body=BODY)


def asks(value: str) -> tuple[str, str]:
    return "Range", value


def part(value: str, body: bytes, **got: str | None) -> Step:
    """A part out of the store."""
    return Step(
        (asks(value),), asked=False, status=206, body=body, got={key.replace("_", "-"): each for key, each in got.items()}
    )


def stored(name: str, section: str, level: str, *steps: Step) -> Row:
    """What is done with a whole response of ten octets that is stored and fresh."""
    return Row(name, section, level, (forward(WHOLE), *steps))  # type: ignore[arg-type]


def partial(first: int, last: int, size: int | None = 10, *fields: tuple[str, str], tag: tuple[str, str] = TAG) -> Reply:
    """The part of the body that a 206 brings; the whole to a request without Range."""
    line = ("Content-Range", f"bytes {first}-{last}/{'*' if size is None else size}")
    return Reply(206, (("Date", At(0)), FRESH, tag, line, *fields), BODY[first : last + 1], otherwise=WHOLE)


def not_combined(name: str, before: tuple[str, str], after: tuple[str, str], size: int = 10) -> Row:
    """Two parts that must not become one; what they would become can be told by its octets."""
    other = b"abcdefghij"
    second = replace(partial(5, 9, size, tag=after), body=other[5:])
    third = replace(partial(3, 6, tag=after), body=other[3:7])
    return row(
        name, "9111 §3.4", "MUST",
        forward(partial(0, 4, tag=before), asks("bytes=0-4"), status=2),
        Step((asks("bytes=5-9"),), reply=second),
        Step((asks("bytes=3-6"),), reply=third, status=2, body=(other[3:7], BODY[3:7], BODY)),
    )  # fmt: skip


def of_lines(control: tuple[str, str]) -> Reply:
    """A part by a unit that no cache knows."""
    line = ("Content-Range", "lines 1-2/3")
    return Reply(206, (("Date", At(0)), control, TAG, line), b"12", otherwise=WHOLE)


def if_range(value: str) -> tuple[str, str]:
    return "If-Range", value


ENTIRE = {"asked": False, "status": 200, "body": BODY}
OUT_OF_STORE: tuple[Row, ...] = (
    stored("range", "9110 §14.2", "SHOULD", part("bytes=2-4", b"234", content_range="bytes 2-4/10", content_length="3")),
    stored("range-of-one-octet", "9110 §14.1.2", "SHOULD", part("bytes=0-0", b"0", content_range="bytes 0-0/10")),
    stored("range-to-the-end", "9110 §14.1.2", "SHOULD", part("bytes=7-", b"789", content_range="bytes 7-9/10")),
    stored("range-beyond-the-end", "9110 §14.1.2", "SHOULD", part("bytes=7-99", b"789", content_range="bytes 7-9/10")),
    stored("range-of-a-suffix", "9110 §14.1.2", "SHOULD", part("bytes=-3", b"789", content_range="bytes 7-9/10")),
    stored("range-of-a-suffix-too-long", "9110 §14.1.2", "SHOULD", part("bytes=-99", BODY, content_range="bytes 0-9/10")),
    stored("range-unit-in-capitals", "9110 §14.1", "MUST", part("Bytes=2-4", b"234")),
    stored(
        "range-with-large-numbers", "9110 §14.1.2",
        "MUST",
        Step(
            (asks("bytes=0-99999999999999999999"),), status=2, body=BODY, unless_asked=True,
            reply=ok(NO_STORE, body=BODY),
        ),
    ),
    stored(
        "range-that-is-not-there", "9110 §15.5.17",
        "SHOULD", Step((asks("bytes=10-"),), asked=False, status=416, got={"content-range": "bytes */10"}),
    ),
    stored("range-of-no-octets-at-the-end", "9110 §14.1.2", "SHOULD", Step((asks("bytes=-0"),), asked=False, status=416)),
    stored("range-malformed", "9110 §14.2", "MAY", Step((asks("bytes=4-2"),), **ENTIRE)),  # type: ignore[arg-type]
    stored(
        "range-of-another-unit", "9110 §14.2",
        "MAY", Step((asks("lines=1-2"),), status=200, body=BODY, unless_asked=True),
    ),
    stored(
        "range-of-head", "9110 §14.2",
        "MUST", Step((asks("bytes=2-4"),), "HEAD", status=200, of=-1, unless_asked=True, got={"content-range": None}),
    ),
    stored(
        "range-has-the-fields-of-200", "9110 §15.3.7", "MUST",
        part(
            "bytes=2-4", b"234",
            etag='"one"', cache_control="max-age=3600", date="~GMT", content_type="text/plain", age=">=0",
        ),
    ),
    row(
        "range-has-vary-and-the-like", "9110 §15.3.7", "MUST",
        forward(ok(FRESH, ("Vary", "X"), ("Content-Location", "/x"), EXPIRES, body=BODY)),
        part("bytes=2-4", b"234", vary="X", content_location="/x", expires=EXPIRES[1]),
    ),
    stored(
        "ranges", "9110 §15.3.7.2",
        "MAY",
        Step(
            (asks("bytes=0-1,8-9"),), asked=False, status=206,
            got={"content-type": "~multipart/byteranges", "content-range": None},
        ),
    ),
    stored(
        "ranges-have-their-fields", "9110 §15.3.7.2", "MUST",
        Step(
            (asks("bytes=0-1,8-9"),), status=206, unless_asked=True,
            holds=(b"Content-Range: bytes 0-1/10\r\n", b"Content-Range: bytes 8-9/10\r\n", b"Content-Type: text/plain\r\n"),
        ),
    ),
    stored(
        "ranges-of-which-one-is-there", "9110 §15.3.7.2",
        "MAY", Step((asks("bytes=0-1,90-99"),), asked=False, status=206),
    ),
    stored(
        "ranges-that-touch", "9110 §14.2",
        "MAY", Step((asks("bytes=0-3,4-5,2-7"),), asked=False, status=206, got={"content-range": "bytes 0-7/10"}),
    ),
    stored(
        "many-small-ranges", "9110 §14.2",
        "SHOULD",
        Step(
            (asks("bytes=" + ",".join("0-1" for _ in range(100))),), status=200, body=BODY, unless_asked=True,
            reply=ok(NO_STORE, body=BODY),
        ),
    ),
    stored(
        "range-of-404", "9110 §14.2",
        "MUST", Step((asks("bytes=2-4"),), path="/404", reply=ok(FRESH, status=404), status=404),
    ),
    row(
        "range-of-a-stored-404", "9110 §13.2.1",
        "MUST", forward(ok(FRESH, status=404, body=BODY)),
        Step((asks("bytes=2-4"),), status=404, unless_asked=True, reply=ok(NO_STORE, status=404)),
    ),
    stored(
        "if-range-holds", "9110 §13.1.5",
        "SHOULD", Step((asks("bytes=2-4"), if_range('"one"')), asked=False, status=206, body=b"234"),
    ),
    stored(
        "if-range-of-another-tag", "9110 §13.1.5",
        "MUST", Step((asks("bytes=2-4"), if_range('"two"')), status=200, body=BODY, unless_asked=True),
    ),
    stored(
        "if-range-of-a-weak-tag", "9110 §13.1.5",
        "MUST", Step((asks("bytes=2-4"), if_range('W/"one"')), status=200, body=BODY, unless_asked=True),
    ),
    stored(
        "if-range-of-the-date", "9110 §13.1.5",
        "SHOULD", Step((asks("bytes=2-4"), if_range(OLD[1])), asked=False, status=206, body=b"234"),
    ),
    stored(
        "if-range-of-a-later-date", "9110 §13.1.5",
        "MUST",
        Step((asks("bytes=2-4"), if_range("Thu, 02 Jan 2020 00:00:00 GMT")), status=200, body=BODY, unless_asked=True),
    ),
    stored("if-range-without-range", "9110 §13.1.5", "MUST", Step((if_range('"two"'),), **ENTIRE)),  # type: ignore[arg-type]
    row(
        "if-range-and-a-weak-tag-stored", "9110 §13.1.5", "MUST",
        forward(ok(FRESH, ("ETag", 'W/"one"'), body=BODY)),
        Step((asks("bytes=2-4"), if_range('W/"one"')), status=200, body=BODY, unless_asked=True),
    ),
    stored(
        "a-condition-goes-before-the-range", "9110 §13.2.2",
        "MUST",
        Step(
            (asks("bytes=2-4"), ("If-None-Match", '"one"')), status=304, unless_asked=True,
            reply=Reply(304, (("Date", At(0)), TAG)),
        ),
    ),
)  # fmt: skip

MISSED: tuple[Row, ...] = (
    row(
        "a-range-is-asked-for", "9110 §14.2",
        "MAY", forward(partial(2, 4), asks("bytes=2-4"), sent={"range": "bytes=2-4"}, body=b"234"),
    ),
    row(
        "a-part-is-not-the-whole", "9111 §3.3", "MUST",
        forward(partial(0, 4), asks("bytes=0-4"), status=2),
        Step(
            reply=Reply(
                206, (("Date", At(0)), FRESH, TAG, ("Content-Range", "bytes 5-9/10")), BODY[5:],
                otherwise=ok(NO_STORE, body=BODY),
            ),
            status=200, body=BODY,
        ),
    ),
    row(
        "a-part-is-not-another-part", "9111 §3.3", "MUST",
        forward(partial(0, 4), asks("bytes=0-4"), status=2, body=(b"01234", BODY)),
        Step((asks("bytes=5-9"),), reply=partial(5, 9), status=2, body=(b"56789", BODY)),
    ),
    row("a-part-is-reused", "9111 §3.3", "MAY", forward(partial(0, 4), asks("bytes=0-4")), part("bytes=0-4", b"01234")),
    row(
        "a-part-of-a-part-is-reused", "9111 §3.3",
        "MAY", forward(partial(2, 7), asks("bytes=2-7")), part("bytes=3-5", b"345", content_range="bytes 3-5/10"),
    ),
    row(
        "a-suffix-out-of-a-part", "9111 §3.3",
        "MAY", forward(partial(5, 9), asks("bytes=-5")), part("bytes=-2", b"89", content_range="bytes 8-9/10"),
    ),
    row(
        "a-part-is-completed", "9111 §3.3", "MAY",
        forward(partial(0, 4), asks("bytes=0-4")),
        Step(reply=partial(5, 9), asked=True, sent={"range": "bytes=5-", "if-range": '"one"'}, status=200, body=BODY),
        Step(asked=False, status=200, body=BODY),
    ),
    row(
        "a-part-without-a-validator-is-reused", "9111 §3.3", "MAY",
        forward(partial(2, 7, tag=("X", "1")), asks("bytes=2-7")), part("bytes=3-5", b"345"),
    ),
    row(
        "a-part-without-a-validator-is-not-completed", "9111 §3.4", "MUST",
        forward(partial(0, 4, tag=("X", "1")), asks("bytes=0-4"), status=2),
        Step(reply=ok(NO_STORE, body=BODY), sent={"range": None}, status=200, body=BODY),
    ),
    row(
        "a-part-of-another-length-than-it-says-is-not-stored", "9110 §14.4", "MUST",
        Step(
            (asks("bytes=0-9"),),
            reply=Reply(
                206, (("Date", At(0)), FRESH, TAG, ("Content-Range", "bytes 0-9/20")), b"abcde", otherwise=WHOLE,
            ),
            asked=None,
        ),
        Step((asks("bytes=0-4"),), reply=partial(0, 4), status=2, body=(b"01234", BODY)),
    ),
    row(
        "parts-are-combined", "9111 §3.4", "MAY",
        forward(partial(0, 4), asks("bytes=0-4")), forward(partial(5, 9), asks("bytes=5-9")), part("bytes=3-6", b"3456"),
    ),
    not_combined("parts-of-two-tags-are-not-combined", TAG, ("ETag", '"two"')),
    not_combined("parts-of-a-weak-tag-are-not-combined", WEAK, WEAK),
    not_combined("parts-without-a-tag-are-not-combined", ("X", "1"), ("X", "1")),
    not_combined("an-invalid-content-range-is-not-combined", TAG, TAG, size=6),
    row(
        "parts-combined-have-the-newer-fields", "9111 §3.4", "MUST",
        forward(partial(0, 4, 10, ("X", "1")), asks("bytes=0-4"), status=2),
        forward(partial(5, 9, 10, ("X", "2")), asks("bytes=5-9"), status=2, asked=None),
        Step((asks("bytes=3-6"),), reply=partial(3, 6, 10, ("X", "3")), status=2, body=(b"3456", BODY), got={"x": "!1"}),
    ),
    row(
        "another-unit-is-passed-on", "9110 §14.4", "SHOULD",
        Step((asks("lines=1-2"),), reply=of_lines(NO_STORE), status=2, body=(b"12", BODY)),
    ),
    row(
        "another-unit-is-not-stored", "9111 §3.3", "MUST",
        Step((asks("lines=1-2"),), reply=of_lines(FRESH)), Step(reply=ok(NO_STORE, body=BODY), status=200, body=BODY),
    ),
    row(
        "a-416-is-not-stored", "9111 §3", "MUST",
        Step(
            (asks("bytes=90-"),),
            reply=Reply(416, (("Date", At(0)), FRESH, ("Content-Range", "bytes */10")), otherwise=WHOLE), asked=True,
        ),
        Step(reply=ok(NO_STORE, body=BODY), status=200, body=BODY),
    ),
    row(
        "a-200-to-a-range-is-stored", "9111 §3",
        "MAY", forward(ok(FRESH, body=BODY), asks("bytes=2-4"), status=None), reused(body=BODY, of=None),
    ),
    row(
        "a-stale-range-is-validated", "9111 §4.3.2",
        "MAY", forward(ok(SHORT, TAG, body=BODY)),
        Step(
            (asks("bytes=2-4"),), wait=2.2, reply=Reply(304, (("Date", At(0)), FRESH, TAG), otherwise=ok(NO_STORE)),
            asked=True, status=206, body=b"234",
        ),
    ),
    row(
        "a-range-of-a-stale-part-is-not-named", "9111 §4.3.2",
        "MUST", forward(partial(0, 4), asks("bytes=0-4")),
        Step(
            (("Cache-Control", "no-cache"),), reply=ok(NO_STORE, body=BODY), asked=True, sent={"if-none-match": None},
            status=200, body=BODY,
        ),
    ),
)  # fmt: skip

ROWS: tuple[Row, ...] = OUT_OF_STORE + MISSED
