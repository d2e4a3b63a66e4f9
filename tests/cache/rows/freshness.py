"""How long a response lives, and what happens when it is over: RFC 9111 §4.2, §5.1, §5.3; RFC 5861; RFC 8246."""

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

EXPIRES = ("Expires", At(3600))
IN_2022, IN_2038 = "Sat, 01 Jan 2022 00:00:00 GMT", "Fri, 01 Jan 2038 00:00:00 GMT"
EXPIRED = ("Expires", At(-3600))


def control(value: str) -> tuple[str, str]:
    return "Cache-Control", value


def expires(value: str) -> tuple[str, str]:
    return "Expires", value


LIFETIMES: tuple[Row, ...] = (
    is_reused("max-age", "9111 §4.2.1", "MAY", control("max-age=3600")),
    is_reused("max-age-in-capitals", "9111 §5.2", "MAY", control("MAX-AGE=3600")),
    is_reused("max-age-quoted", "9111 §5.2", "SHOULD", control('max-age="3600"')),
    is_reused("max-age-with-zeros", "9111 §1.2.2", "MAY", control("max-age=003600")),
    is_reused("max-age-of-2-to-31", "9111 §1.2.2", "MAY", control("max-age=2147483648")),
    is_reused("max-age-beyond-32-bits", "9111 §1.2.2", "MUST", control("max-age=99999999999")),
    is_reused("max-age-beyond-64-bits", "9111 §1.2.2", "MUST", control("max-age=99999999999999999999999")),
    not_reused("max-age-over", "9111 §4.2", "MUST", SHORT, wait=LATER),
    not_reused("max-age-0", "9111 §4.2", "MUST", control("max-age=0")),
    not_reused("max-age-negative", "9111 §4.2.1", "SHOULD", control("max-age=-3600")),
    not_reused("max-age-not-a-number", "9111 §4.2.1", "SHOULD", control("max-age=abc")),
    not_reused("max-age-with-a-fraction", "9111 §4.2.1", "SHOULD", control("max-age=3600.5")),
    not_reused("max-age-in-single-quotes", "9111 §4.2.1", "SHOULD", control("max-age='3600'")),
    not_reused("max-age-twice-the-first-is-over", "9111 §4.2.1", "SHOULD", control("max-age=1, max-age=3600"), wait=LATER),
    is_reused("s-maxage", "9111 §5.2.2.10", "MAY", control("s-maxage=3600")),
    is_reused("s-maxage-before-max-age", "9111 §5.2.2.10", "MAY", control("max-age=0, s-maxage=3600")),
    not_reused("short-s-maxage-before-max-age", "9111 §5.2.2.10", "MUST", control("s-maxage=1, max-age=3600"), wait=LATER),
    not_reused("s-maxage-0-before-max-age", "9111 §5.2.2.10", "MUST", control("max-age=3600, s-maxage=0")),
    not_reused(
        "short-s-maxage-on-another-line", "9111 §5.2.2.10", "MUST", FRESH, control("s-maxage=1"), wait=LATER
    ),
    is_reused("expires", "9111 §5.3", "MAY", EXPIRES),
    is_reused("expires-in-2286", "9111 §5.3", "MAY", expires("Sun, 21 Nov 2286 04:46:39 GMT")),
    is_reused("expires-of-rfc-850", "9110 §5.6.7", "MUST", expires("Thursday, 18-Aug-50 02:01:18 GMT")),
    is_reused("expires-of-asctime", "9110 §5.6.7", "MUST", expires("Thu Aug 18 02:01:18 2050")),
    is_reused("expires-in-other-case", "9111 §4.2", "SHOULD", expires("THU, 18 aug 2050 02:01:18 gmt")),
    not_reused("expires-over", "9111 §5.3", "MUST", EXPIRED),
    not_reused("expires-equal-to-date", "9111 §5.3", "MUST", ("Expires", At(0)), wait=1.2),
    not_reused("expires-twice-the-first-is-over", "9111 §4.2.1", "SHOULD", EXPIRED, EXPIRES),
    is_reused("expires-twice-the-same", "9111 §4.2.1", "MAY", *2 * (expires("Fri, 01 Jan 2038 00:00:00 GMT"),)),
    not_reused("expires-0", "9111 §5.3", "MUST", expires("0")),
    not_reused("expires-empty", "9111 §5.3", "MUST", expires("")),
    not_reused("expires-minus-1", "9111 §5.3", "MUST", expires("-1")),
    not_reused("expires-in-another-zone", "9111 §4.2", "SHOULD", expires("Thu, 18 Aug 2050 02:01:18 AEST")),
    not_reused("expires-in-utc-by-name", "9111 §4.2", "SHOULD", expires("Thu, 18 Aug 2050 02:01:18 UTC")),
    not_reused("expires-without-a-comma", "9111 §5.3", "MUST", expires("Thu 18 Aug 2050 02:01:18 GMT")),
    not_reused("expires-with-dashes", "9111 §5.3", "MUST", expires("Thu, 18-Aug-2050 02:01:18 GMT")),
    not_reused("expires-with-a-short-hour", "9111 §5.3", "MUST", expires("Thu, 18 Aug 2050 2:01:18 GMT")),
    not_reused("expires-0-is-no-ground-for-a-guess", "9111 §4.2.2", "MUST", expires("0"), OLD),
    not_reused("expires-over-is-no-ground-for-a-guess", "9111 §4.2.2", "MUST", EXPIRED, OLD),
    not_reused("max-age-0-is-no-ground-for-a-guess", "9111 §4.2.2", "MUST", control("max-age=0"), OLD),
    is_reused("max-age-before-expires", "9111 §5.3", "MUST", FRESH, EXPIRED),
    is_reused("max-age-before-invalid-expires", "9111 §5.3", "MUST", FRESH, expires("0")),
    not_reused("max-age-0-before-expires", "9111 §5.3", "MUST", control("max-age=0"), EXPIRES),
    is_reused("s-maxage-before-expires", "9111 §5.3", "MUST", control("s-maxage=3600"), EXPIRED),
    not_reused("s-maxage-0-before-expires", "9111 §5.3", "MUST", control("s-maxage=0"), EXPIRES),
    not_reused("no-lifetime", "9111 §4.2.2", "MAY"),
    *(
        is_reused(f"a-guess-for-{status}", "9111 §4.2.2", "MAY", OLD, status=status)
        for status in (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501)
    ),
    is_reused("a-guess-for-what-is-public", "9111 §4.2.2", "MAY", OLD, control("public"), status=599),
    not_reused("no-guess-for-what-is-just-made", "9111 §4.2.2", "MAY", ("Last-Modified", At(-3)), wait=LATER),
)  # fmt: skip

AGES: tuple[Row, ...] = (
    row(
        "age-counts-from-the-request", "9111 §4.2.3", "MUST",
        forward(Reply(200, (("Date", At(0)), FRESH, ("Age", "30")), delay=1.5)), reused(got={"age": ">=31"}),
    ),
    row("age-is-generated", "9111 §4", "MUST", forward(ok(FRESH)), reused(wait=LATER, got={"age": ">=2"})),
    row(
        "age-is-added-to", "9111 §4.2.3",
        "MUST", forward(ok(FRESH, ("Age", "30"))), reused(wait=LATER, got={"age": ">=32"}),
    ),
    row(
        "age-with-expires",
        "9111 §4.2.3",
        "MUST",
        forward(ok(EXPIRES, ("Age", "30"))),
        reused(wait=LATER, got={"age": ">=32"}),
    ),
    row(
        "age-of-an-old-date", "9111 §4.2.3",
        "MAY", forward(Reply(200, (("Date", At(-100)), FRESH))), reused(got={"age": ">=100"}),
    ),
    row(
        "date-stays", "9110 §6.6.1",
        "MUST", forward(Reply(200, (("Date", At(-100)), FRESH))), reused(wait=LATER, got={"age": ">=2"}),
    ),
    row(
        "date-and-expires-stay", "9111 §3.1", "MUST",
        forward(Reply(200, (("Date", IN_2022), ("Expires", IN_2038), control("max-age=2147483648")))),
        reused(wait=1.2, got={"date": IN_2022, "expires": IN_2038}),
    ),
    not_reused("age-beyond-max-age", "9111 §4.2.3", "MUST", FRESH, ("Age", "7200")),
    not_reused("age-beyond-expires", "9111 §4.2.3", "MUST", EXPIRES, ("Age", "7200")),
    not_reused("age-of-2-to-31", "9111 §1.2.2", "MUST", FRESH, ("Age", "2147483648")),
    not_reused("age-beyond-64-bits", "9111 §1.2.2", "MUST", FRESH, ("Age", "99999999999999999999999")),
    is_reused("age-not-a-number", "9111 §5.1", "SHOULD", FRESH, ("Age", "abc")),
    is_reused("age-negative", "9111 §5.1", "SHOULD", FRESH, ("Age", "-7200")),
    is_reused("age-with-a-fraction", "9111 §5.1", "SHOULD", FRESH, ("Age", "7200.0")),
    not_reused("age-list-old-first", "9111 §5.1", "SHOULD", FRESH, ("Age", "7200, 0")),
    is_reused("age-list-new-first", "9111 §5.1", "SHOULD", FRESH, ("Age", "0, 7200")),
    not_reused("age-lines-old-first", "9111 §5.1", "SHOULD", FRESH, ("Age", "7200"), ("Age", "0")),
    is_reused("age-lines-new-first", "9111 §5.1", "SHOULD", FRESH, ("Age", "0"), ("Age", "7200")),
    row(
        "an-old-date-counts", "9111 §4.2.3", "MAY", forward(Reply(200, (("Date", At(-7200)), FRESH))), forward(ok(NO_STORE))
    ),
    row(
        "a-date-in-the-future-makes-nothing-fresher", "9111 §4.2.3", "MUST",
        forward(Reply(200, (("Date", At(3600)), ("Expires", At(3601))))), forward(ok(NO_STORE), wait=LATER),
    ),
    row(
        "an-invalid-date", "9110 §6.6.1", "MAY", forward(Reply(200, (("Date", "yesterday"), FRESH))), reused(),
    ),
)  # fmt: skip

REQUESTS: tuple[Row, ...] = (
    row("request-max-age-0", "9111 §5.2.1.1", "MAY", forward(ok(FRESH)), forward(ok(FRESH), control("max-age=0"))),
    row(
        "request-max-age-of-less", "9111 §5.2.1.1",
        "MAY", forward(ok(FRESH, ("Age", "1800"))), forward(ok(FRESH), control("max-age=600")),
    ),
    row(
        "request-max-age-of-more", "9111 §5.2.1.1",
        "MAY", forward(ok(FRESH, ("Age", "1800"))), reused(control("max-age=2000")),
    ),
    row(
        "request-min-fresh-of-more", "9111 §5.2.1.3",
        "MAY", forward(ok(FRESH)), forward(ok(FRESH), control("min-fresh=7200")),
    ),
    row("request-min-fresh-of-less", "9111 §5.2.1.3", "MAY", forward(ok(FRESH)), reused(control("min-fresh=60"))),
    row("request-no-cache", "9111 §5.2.1.4", "MAY", forward(ok(FRESH)), forward(ok(FRESH), control("no-cache"))),
    row(
        "request-no-cache-validates", "9111 §5.2.1.4",
        "MAY", forward(ok(FRESH, TAG)), validated(control("no-cache"), sent={"if-none-match": '"one"'}),
    ),
    row("request-pragma-no-cache", "9111 §5.4", "MAY", forward(ok(FRESH)), forward(ok(FRESH), ("Pragma", "no-cache"))),
    row(
        "request-pragma-beside-cache-control", "9111 §5.4",
        "MAY", forward(ok(FRESH)), reused(("Pragma", "no-cache"), control("max-age=600")),
    ),
    row("request-pragma-unknown", "9111 §5.4", "MAY", forward(ok(FRESH)), reused(("Pragma", "foo"))),
    row("request-unknown-directive", "9111 §5.2.3", "MUST", forward(ok(FRESH)), reused(control("foo, bar=1"))),
    row("request-max-stale", "9111 §5.2.1.2", "MAY", forward(ok(SHORT)), reused(control("max-stale=1000"), wait=LATER)),
    row(
        "request-max-stale-of-any-age", "9111 §5.2.1.2",
        "MAY", forward(ok(SHORT)), reused(control("max-stale"), wait=LATER),
    ),
    row(
        "request-max-stale-is-exceeded", "9111 §5.2.1.2",
        "MUST", forward(ok(FRESH, ("Age", "5000"))), forward(ok(NO_STORE), control("max-stale=10")),
    ),
    row(
        "request-max-stale-and-must-revalidate", "9111 §4.2.4",
        "MUST", forward(ok(control("max-age=1, must-revalidate"))),
        forward(ok(NO_STORE), control("max-stale"), wait=LATER),
    ),
    row(
        "request-max-stale-and-s-maxage", "9111 §4.2.4",
        "MUST", forward(ok(control("s-maxage=1"))), forward(ok(NO_STORE), control("max-stale"), wait=LATER),
    ),
    row(
        "request-only-if-cached-misses", "9111 §5.2.1.7",
        "MAY", Step((control("only-if-cached"),), asked=False, status=504),
    ),
    row("request-only-if-cached-hits", "9111 §5.2.1.7", "MAY", forward(ok(FRESH)), reused(control("only-if-cached"))),
    row(
        "request-only-if-cached-is-stale", "9111 §5.2.1.7",
        "MAY", forward(ok(SHORT)), Step((control("only-if-cached"),), wait=LATER, asked=False, status=504),
    ),
    row(
        "immutable-and-a-reload", "8246 §2.1",
        "SHOULD", forward(ok(control("max-age=3600, immutable"), TAG)), reused(control("max-age=0")),
    ),
    row(
        "immutable-and-no-cache", "8246 §2.1",
        "MAY", forward(ok(control("max-age=3600, immutable"), TAG)), validated(control("no-cache")),
    ),
    row(
        "immutable-and-stale", "8246 §2",
        "MUST", forward(ok(control("max-age=1, immutable"))), forward(ok(NO_STORE), wait=LATER),
    ),
)  # fmt: skip


def gone(name: str, section: str, level: str, said: str, step: Step, *fields: tuple[str, str]) -> Row:
    """A stale response, and an origin that fails."""
    return Row(name, section, level, (forward(ok(control(said), *fields)), step))  # type: ignore[arg-type]


BAD = Reply(503, (("Date", At(0)), NO_STORE))
STALE: tuple[Row, ...] = (
    *(
        gone(
            f"{name}-and-no-origin", "9111 §4.2.4", "MUST", said, Step(wait=LATER, reply=DEAD, asked=True, status=5),
        )
        for name, said in (
            ("must-revalidate", "max-age=1, must-revalidate"), ("proxy-revalidate", "max-age=1, proxy-revalidate"),
            ("s-maxage", "s-maxage=1"),
            ("must-revalidate-and-stale-if-error", "max-age=1, must-revalidate, stale-if-error=60"),
        )
    ),
    gone(
        "must-revalidate-and-503", "9111 §5.2.2.2",
        "MUST", "max-age=1, must-revalidate",
        Step(wait=LATER, reply=BAD, asked=True, status=503),
    ),
    gone("a-stale-response-is-not-served", "9111 §4.2.4", "MUST", "max-age=1", forward(ok(NO_STORE), wait=LATER)),
    gone(
        "stale-while-revalidate", "5861 §3",
        "MAY", "max-age=1, stale-while-revalidate=600",
        Step(wait=LATER, status=200, of=0, got={"age": ">=2"}),
    ),
    row(
        "stale-while-revalidate-validates", "5861 §3", "SHOULD",
        forward(ok(control("max-age=1, stale-while-revalidate=600"))),
        Step(wait=LATER, reply=ok(FRESH), status=200, of=0, settle=1.5), reused(of=1),
    ),
    row(
        "stale-while-revalidate-is-over", "5861 §3", "MUST",
        forward(ok(control("max-age=1, stale-while-revalidate=1"))), forward(ok(NO_STORE), wait=LATER),
    ),
    row(
        "stale-while-revalidate-and-must-revalidate", "9111 §4.2.4", "MUST",
        forward(ok(control("max-age=1, stale-while-revalidate=600, must-revalidate"))), forward(ok(NO_STORE), wait=LATER),
    ),
    gone(
        "stale-if-error-and-no-origin", "5861 §4",
        "MAY", "max-age=1, stale-if-error=600",
        Step(wait=LATER, reply=DEAD, asked=True, status=200, of=0, got={"age": ">=2"}),
    ),
    *(
        gone(
            f"stale-if-error-and-{status}", "5861 §4", "MAY", "max-age=1, stale-if-error=600",
            Step(wait=LATER, reply=Reply(status, (("Date", At(0)), NO_STORE)), asked=True, status=200, of=0),
        )
        for status in (500, 502, 503, 504)
    ),
    gone(
        "stale-if-error-and-404", "5861 §4",
        "MUST", "max-age=1, stale-if-error=600",
        forward(ok(NO_STORE, status=404), wait=LATER),
    ),
    gone(
        "stale-if-error-is-over", "5861 §4",
        "MUST", "max-age=1, stale-if-error=1",
        Step(wait=LATER, reply=BAD, asked=True, status=503),
    ),
    row(
        "stale-if-error-of-a-request", "5861 §4", "MAY",
        forward(ok(SHORT)), Step((control("stale-if-error=600"),), wait=LATER, reply=BAD, asked=True, status=200, of=0),
    ),
    row(
        "stale-and-no-origin-without-leave", "9111 §4.2.4", "MAY",
        forward(ok(SHORT)), Step(wait=LATER, reply=DEAD, asked=True, status=5),
    ),
    row(
        "a-miss-and-no-origin", "9110 §15.6.3", "MUST", Step(reply=DEAD, asked=True, status=5),
    ),
    row("a-stale-one-is-validated", "9111 §4.3", "MAY", forward(ok(SHORT, TAG)), validated(wait=LATER)),
)  # fmt: skip

ROWS: tuple[Row, ...] = LIFETIMES + AGES + REQUESTS + STALE
