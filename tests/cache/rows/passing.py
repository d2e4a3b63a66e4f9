"""What an intermediary does to messages, and what caches tell: RFC 9110 §7.6, §10; RFC 9211; RFC 9213."""

from tests.cache.steps import FRESH, LATER, NO_STORE, SHORT, TAG, At, Reply, Row, Step, forward, ok, reused, row, validated

NOT_CACHED = ok(NO_STORE)


def control(value: str) -> tuple[str, str]:
    return "Cache-Control", value


def targeted(value: str) -> tuple[str, str]:
    return "CDN-Cache-Control", value


MESSAGES: tuple[Row, ...] = (
    row(
        "unknown-fields-pass-to-the-origin", "9110 §5.1",
        "MUST", forward(NOT_CACHED, ("X-Unknown", "1"), sent={"x-unknown": "1"}),
    ),
    row(
        "unknown-fields-pass-to-the-client", "9110 §5.1",
        "MUST", forward(ok(NO_STORE, ("X-Unknown", "1")), got={"x-unknown": "1"}),
    ),
    row(
        "connection-names-fields-of-a-request", "9110 §7.6.1",
        "MUST",
        forward(
            NOT_CACHED, ("Connection", "x, Y"), ("X", "1"), ("Y", "2"), ("Z", "3"),
            sent={"x": None, "y": None, "z": "3"},
        ),
    ),
    row(
        "connection-names-fields-of-a-response", "9110 §7.6.1",
        "MUST",
        forward(
            ok(NO_STORE, ("Connection", "x, Y"), ("X", "1"), ("Y", "2"), ("Z", "3")),
            got={"x": None, "y": None, "z": "3"},
        ),
    ),
    row(
        "connection-is-not-passed-on", "9110 §7.6.1",
        "MUST", forward(NOT_CACHED, ("Connection", "x-made-up"), sent={"connection": "!x-made-up"}),
    ),
    *(
        row(
            f"{name.lower()}-does-not-pass-to-the-origin", "9110 §7.6.1", "SHOULD",
            forward(NOT_CACHED, (name, value), sent={name.lower(): None}),
        )
        for name, value in (("Proxy-Connection", "keep-alive"), ("Keep-Alive", "timeout=5"), ("TE", "gzip"))
    ),
    row(
        "proxy-connection-does-not-pass-to-the-client", "9110 §7.6.1",
        "SHOULD", forward(ok(NO_STORE, ("Proxy-Connection", "close")), got={"proxy-connection": None}),
    ),
    row(
        "keep-alive-does-not-pass-to-the-client", "9110 §7.6.1",
        "SHOULD", forward(ok(NO_STORE, ("Keep-Alive", "timeout=77")), got={"keep-alive": "!timeout=77"}),
    ),
    row(
        "upgrade-does-not-pass", "9110 §7.8",
        "MUST", forward(NOT_CACHED, ("Connection", "upgrade"), ("Upgrade", "made-up/1"), sent={"upgrade": None}),
    ),
    row(
        "cache-control-is-no-connection-option", "9110 §7.6.1",
        "SHOULD", forward(ok(NO_STORE, ("Connection", "cache-control"))), forward(ok(NO_STORE)),
    ),
    row("via-of-a-request", "9110 §7.6.3", "MUST", forward(NOT_CACHED, sent={"via": "~1.1 "})),
    row(
        "via-of-a-request-is-appended", "9110 §7.6.3",
        "MUST", forward(NOT_CACHED, ("Via", "1.0 fred"), sent={"via": "~1.0 fred, 1.1 "}),
    ),
    row("via-of-a-response", "9110 §7.6.3", "MAY", forward(NOT_CACHED, got={"via": "~1.1 "})),
    row(
        "via-of-a-response-is-appended", "9110 §7.6.3",
        "MAY", forward(ok(NO_STORE, ("Via", "1.0 fred")), got={"via": "~1.0 fred, 1.1 "}),
    ),
    row("max-forwards-0-of-options", "9110 §7.6.2", "MUST", Step((("Max-Forwards", "0"),), "OPTIONS", asked=False)),
    row("max-forwards-0-of-trace", "9110 §7.6.2", "MUST", Step((("Max-Forwards", "0"),), "TRACE", asked=False)),
    row(
        "max-forwards-of-options", "9110 §7.6.2",
        "MUST", forward(NOT_CACHED, ("Max-Forwards", "5"), method="OPTIONS", sent={"max-forwards": "4"}),
    ),
    row("max-forwards-of-trace", "9110 §7.6.2", "MUST", Step((("Max-Forwards", "5"),), "TRACE", sent={"max-forwards": "4"})),
    row("max-forwards-of-get", "9110 §7.6.2", "MAY", forward(NOT_CACHED, ("Max-Forwards", "0"))),
    row("host-is-kept", "9110 §7.2", "MUST", forward(NOT_CACHED, sent={"host": "a.test"})),
    row(
        "an-own-date-is-kept", "9110 §6.6.1",
        "MUST",
        forward(
            Reply(200, (("Date", "Sat, 01 Jan 2022 00:00:00 GMT"), NO_STORE)),
            got={"date": "Sat, 01 Jan 2022 00:00:00 GMT"},
        ),
    ),
    row(
        "set-cookie-lines-stay-apart", "9110 §5.3",
        "MUST",
        forward(
            ok(NO_STORE, ("Set-Cookie", "a=1; expires=Thu, 01 Jan 2037 00:00:00 GMT"), ("Set-Cookie", "b=2")),
            got={"set-cookie": "a=1; expires=Thu, 01 Jan 2037 00:00:00 GMT, b=2"},
        ),
    ),
    row(
        "an-old-warning-goes", "9111 §5.5",
        "MAY", forward(ok(SHORT, TAG, ("Warning", '110 - "Response is Stale"'))),
        validated(wait=LATER, got={"warning": None}),
    ),
    row(
        "a-body-of-post-passes", "9110 §9.3.3",
        "MUST", forward(ok(NO_STORE), method="POST", content=b"some content", sent={"content-length": "12"}),
        sockets=True,
    ),
    row(
        "a-chunked-body-passes", "9112 §7",
        "MUST", forward(Reply(200, (("Date", At(0)), FRESH), b"0123456789", chunked=True), body=b"0123456789"),
        reused(body=b"0123456789", of=None), sockets=True,
    ),
)  # fmt: skip


def status(step: Step, *parts: str) -> Step:
    """Cache-Status has all these parameters."""
    return Step(
        step.fields, step.method, step.path, wait=step.wait, reply=step.reply, asked=step.asked,
        got={"cache-status": "~" + "~".join(parts)},
    )  # fmt: skip


STATUSES: tuple[Row, ...] = (
    row("cache-status-of-a-hit", "9211 §2.1", "MAY", forward(ok(FRESH)), status(reused(), "; hit")),
    row("cache-status-of-a-hit-has-no-fwd", "9211 §2.1", "MUST", forward(ok(FRESH)), status(reused(), "; hit", "^fwd")),
    row("cache-status-of-a-miss", "9211 §2.2", "MAY", status(forward(ok(FRESH)), "; fwd=uri-miss", "^hit")),
    row("cache-status-stored", "9211 §2.5", "MAY", status(forward(ok(FRESH)), "; stored")),
    row("cache-status-not-stored", "9211 §2.5", "MUST", status(forward(NOT_CACHED), "; fwd=uri-miss", "^stored")),
    row(
        "cache-status-of-another-variant", "9211 §2.2",
        "MAY", forward(ok(FRESH, ("Vary", "X"))), status(forward(NOT_CACHED, ("X", "1")), "; fwd=vary-miss"),
    ),
    row(
        "cache-status-of-a-stale-one", "9211 §2.2",
        "MAY", forward(ok(SHORT)), status(forward(NOT_CACHED, wait=LATER), "; fwd=stale"),
    ),
    row(
        "cache-status-of-a-reload", "9211 §2.2",
        "MAY", forward(ok(FRESH)), status(forward(NOT_CACHED, control("no-cache")), "; fwd=request"),
    ),
    row("cache-status-of-a-method", "9211 §2.2", "MAY", status(forward(NOT_CACHED, method="OPTIONS"), "; fwd=method")),
    row(
        "cache-status-of-a-part", "9211 §2.2",
        "MAY",
        forward(
            Reply(206, (("Date", At(0)), FRESH, TAG, ("Content-Range", "bytes 0-1/10")), b"01", otherwise=ok(FRESH)),
            ("Range", "bytes=0-1"),
        ),
        status(forward(ok(NO_STORE)), "; fwd=partial"),
    ),
    row(
        "cache-status-of-a-validation", "9211 §2.3",
        "MAY", forward(ok(SHORT, TAG)), status(validated(wait=LATER), "; fwd=stale", "; fwd-status=304"),
    ),
    row("cache-status-ttl", "9211 §2.4", "MAY", forward(ok(FRESH)), status(reused(), "; ttl=3")),
    row(
        "cache-status-ttl-of-a-stale-one", "9211 §2.4",
        "MUST", forward(ok(control("max-age=1, stale-if-error=60"))),
        status(Step(wait=LATER, reply=Reply(dead=True)), "; ttl=-"),
    ),
    row(
        "cache-status-is-appended", "9211 §2",
        "MUST", status(forward(ok(FRESH, ("Cache-Status", "other; hit"))), "other; hit, "),
        status(reused(), "other; hit, ", "; hit"),
    ),
    row("cache-status-has-no-key", "9211 §2.7", "SHOULD", status(forward(ok(FRESH)), "; fwd", "^key=")),
    row(
        "cache-status-of-a-refusal", "9211 §2.8",
        "MAY", status(Step((control("only-if-cached"),), asked=False), "detail=only-if-cached"),
    ),
)  # fmt: skip

TARGETED: tuple[Row, ...] = (
    row("targeted-lifetime", "9213 §2.2", "MAY", forward(ok(control("max-age=0"), targeted("max-age=3600"))), reused()),
    row(
        "targeted-lifetime-is-over", "9213 §2.2",
        "MUST", forward(ok(FRESH, targeted("max-age=1"))), forward(NOT_CACHED, wait=LATER),
    ),
    row("targeted-0", "9213 §2.2", "MUST", forward(ok(FRESH, targeted("max-age=0"))), forward(NOT_CACHED)),
    row("targeted-no-store", "9213 §2.2", "MUST", forward(ok(FRESH, targeted("no-store"))), forward(NOT_CACHED)),
    row("targeted-private", "9213 §2.2", "MUST", forward(ok(FRESH, targeted("private"))), forward(NOT_CACHED)),
    row("targeted-no-cache", "9213 §2.2", "MUST", forward(ok(FRESH, targeted("no-cache"))), forward(NOT_CACHED)),
    row("targeted-before-no-store", "9213 §2.2", "MUST", forward(ok(NO_STORE, targeted("max-age=3600"))), reused()),
    row(
        "targeted-before-expires", "9213 §2.2",
        "MUST", forward(ok(("Expires", At(-10)), targeted("max-age=3600"))), reused(),
    ),
    row(
        "targeted-says-nothing-of-lifetime-but-expires-does", "9213 §2.2",
        "MUST", forward(ok(("Expires", At(3600)), FRESH, targeted("must-revalidate"))), forward(NOT_CACHED),
    ),
    row("targeted-age", "9213 §2.2", "MUST", forward(ok(targeted("max-age=3600"), ("Age", "7200"))), forward(NOT_CACHED)),
    row(
        "targeted-malformed-is-ignored", "9213 §2.2",
        "MUST", forward(ok(NO_STORE, targeted("max-age=3600, &&&"))), forward(NOT_CACHED),
    ),
    row(
        "targeted-malformed-falls-back", "9213 §2.2",
        "MUST", forward(ok(FRESH, targeted("max-age=1, &&&"))), reused(wait=LATER),
    ),
    row("targeted-empty-is-ignored", "9213 §2.2", "MUST", forward(ok(FRESH, targeted(""))), reused()),
    row(
        "targeted-of-the-wrong-type", "9213 §2.1",
        "SHOULD", forward(ok(NO_STORE, targeted('max-age="3600"'))), forward(NOT_CACHED),
    ),
    row(
        "targeted-in-capitals-is-malformed", "9213 §2.1",
        "MUST", forward(ok(NO_STORE, targeted("MaX-aGe=3600"))), forward(NOT_CACHED),
    ),
    row("targeted-with-parameters", "9213 §2.1", "MUST", forward(ok(NO_STORE, targeted("max-age=3600;foo=bar"))), reused()),
    row(
        "targeted-with-unknown-directives", "9213 §2.1",
        "MUST", forward(ok(NO_STORE, targeted("foo, max-age=3600, bar=(1 2)"))), reused(),
    ),
    row(
        "targeted-the-last-one-counts", "9213 §2.1",
        "MUST", forward(ok(NO_STORE, targeted("max-age=0, max-age=3600"))), reused(),
    ),
    row(
        "targeted-passes-on", "9213 §3.1",
        "MAY", forward(ok(FRESH, targeted("max-age=3600")), got={"cdn-cache-control": "max-age=3600"}),
    ),
    row(
        "targeted-for-others-is-ignored", "9213 §2.2",
        "MUST", forward(ok(FRESH, ("Other-Cache-Control", "no-store"))), reused(),
    ),
    row(
        "targeted-on-two-lines", "9213 §2.1",
        "MUST", forward(ok(FRESH, targeted("max-age=3600"), targeted("no-store"))), forward(NOT_CACHED),
    ),
)  # fmt: skip

ROWS: tuple[Row, ...] = MESSAGES + STATUSES + TARGETED
