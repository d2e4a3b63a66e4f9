"""What holds whatever origins and clients say: properties of the rules, a cache in memory against a model of its origin."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from netstack.cache.entry import Entry
from netstack.cache.policy import Action, Final, Forward, Serve, failed, plan, received
from netstack.cache.policy.forwarding import HOP_BY_HOP
from netstack.cache.rules import Rules
from netstack.http.conditional import evaluate
from netstack.http.ranges import asked_ranges
from netstack.http.values import http_date
from netstack.http.wire import Request, Response
from tests.cache.engine import Asked, MemoryCache, Reply
from tests.cache.messages import NOW, format_directives, request, request_key, response

SECONDS = st.sampled_from(["0", "1", "60", "3600", "-1", "x", "2147483648", "99999999999999999999", "", None])
NAMES = st.sampled_from([
    "max-age", "s-maxage", "no-store", "no-cache", "private", "public", "must-revalidate", "proxy-revalidate",
    "must-understand", "no-transform", "immutable", "stale-while-revalidate", "stale-if-error", "max-stale", "min-fresh",
    "only-if-cached", "other",
])  # fmt: skip
CONTROL = st.lists(st.tuples(NAMES, SECONDS), max_size=4).map(lambda given: format_directives(tuple(given)))
DATES = st.integers(-100_000, 100_000).map(lambda seconds: http_date(NOW + seconds)) | st.sampled_from(["0", "", "x"])
TAGS = st.sampled_from(['"a"', '"b"', 'W/"a"', "a", "*", '"a", "b"', ""])
ANY_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)
RANGES = st.sampled_from(["bytes=0-1", "bytes=-1", "bytes=1-", "bytes=9-", "bytes=0-0,2-3", "lines=1", "x"])
ANSWERS: dict[str, st.SearchStrategy[str]] = {
    "Cache-Control": CONTROL, "CDN-Cache-Control": CONTROL, "Expires": DATES, "Date": DATES, "Last-Modified": DATES,
    "ETag": TAGS, "Age": SECONDS.map(str), "Vary": st.sampled_from(["X", "*", "Accept-Encoding", "X, *", ""]),
    "Set-Cookie": st.just("a=b"), "Connection": st.sampled_from(["close", "x", "etag"]), "Warning": st.just('110 - "x"'),
    "Content-Range": st.sampled_from(["bytes 0-1/4", "bytes 1-0/4", "x", "bytes 0-1/*"]),
    "Location": ANY_TEXT, "Content-Location": ANY_TEXT, "X": ANY_TEXT,
}  # fmt: skip
QUESTIONS: dict[str, st.SearchStrategy[str]] = {
    "Cache-Control": CONTROL, "Pragma": st.just("no-cache"), "If-None-Match": TAGS, "If-Match": TAGS,
    "If-Range": TAGS | DATES,
    "If-Modified-Since": DATES, "If-Unmodified-Since": DATES, "Range": RANGES, "Authorization": st.just("a b"),
    "X": st.sampled_from(["1", "2"]), "Via": ANY_TEXT, "Connection": st.sampled_from(["close", "x", "te"]),
    "Max-Forwards": SECONDS.map(str), "Accept-Encoding": ANY_TEXT,
}  # fmt: skip
STATUSES = st.sampled_from([200, 200, 200, 203, 204, 206, 301, 302, 304, 400, 404, 416, 500, 503, 599])


@st.composite
def lines(draw: st.DrawFn, possible: dict[str, st.SearchStrategy[str]]) -> list[tuple[str, str]]:
    names = draw(st.lists(st.sampled_from(sorted(possible)), max_size=6, unique=True))
    return [(name, draw(possible[name])) for name in names]


REQUESTS = st.builds(
    lambda method, fields: request(method, "/", fields),
    st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "FOO"]), lines(QUESTIONS),
)  # fmt: skip
RESPONSES = st.builds(response, STATUSES, lines(ANSWERS))
RULES = st.sampled_from([Rules(), Rules(targets=("cdn-cache-control",), stale_if_error_seconds=60, negative_seconds=5)])


def stored(asked: Request, answered: Response, rules: Rules, length: int = 4) -> tuple[Entry | None, Forward]:
    """What the store has after one exchange."""
    key = request_key(asked, "http")
    planned = plan(asked, key, (), NOW, rules)
    if not isinstance(planned, Forward):
        return None, Forward(None, (), key)  # type: ignore[arg-type]
    outcome = received(planned, asked, answered, NOW, NOW + 0.5, rules)
    entry = outcome.entry if outcome.action is Action.STORE else None
    return entry, planned


@given(REQUESTS, RESPONSES, RULES)
def test_what_may_not_be_stored_is_not(asked: Request, answered: Response, rules: Rules) -> None:
    entry, _ = stored(asked, answered, rules)
    said = answered.fields.get("cache-control", "")
    targeted = rules.targets and "cdn-cache-control" in answered.fields
    if entry is None:
        return
    assert asked.method in ("GET", "POST")
    assert answered.status not in (304, 416)
    assert "no-store" not in asked.fields.get("cache-control", "")
    assert targeted or "must-understand" in said or "no-store" not in said
    assert targeted or "private" not in said
    assert "*" not in answered.fields.get("vary", "")
    shared = ("public", "s-maxage", "must-revalidate")
    assert targeted or "authorization" not in asked.fields or any(each in said for each in shared)
    names = {name.lower() for name, _ in entry.fields()}
    assert not names & (HOP_BY_HOP | {"age", "content-length"})
    assert {"date", "via"} <= names
    assert Entry.from_bytes(entry.to_bytes()).head == entry.head


@given(REQUESTS, RESPONSES, REQUESTS, st.floats(-1e5, 1e6), RULES)
def test_nothing_is_served_without_a_reason(
    first: Request, answered: Response, asked: Request, later: float, rules: Rules
) -> None:
    """Past `fresh_until`, or before the clock says that it was stored, only by leave of one side."""
    entry, planned = stored(first, answered, rules)
    if entry is None:
        return
    wall = NOW + later
    found = plan(asked, planned.key, (entry,), wall, rules)
    if isinstance(found, Serve):
        assert asked.method in ("GET", "HEAD")
        assert found.stale is not None or entry.request_time <= wall < entry.fresh_until
        assert found.stale is None or wall >= entry.request_time
        assert entry.vary == () or asked.fields.get("x") == first.fields.get("x") or "x" not in entry.vary
        control = asked.fields.get("cache-control", "")
        assert "no-cache" not in control
        if any(each in answered.fields.get("cache-control", "") for each in ("must-revalidate", "proxy-revalidate")):
            assert found.stale is None or rules.targets
    elif isinstance(found, Forward):
        names = {name.lower() for name, _ in found.fields}
        assert not names & HOP_BY_HOP
        assert "via" in names
    else:
        assert isinstance(found, Final)


@given(REQUESTS, RESPONSES, REQUESTS, RESPONSES, st.floats(0, 1e5), RULES)
@settings(max_examples=200)
def test_no_second_response_breaks_anything(
    first: Request, answered: Response, asked: Request, again: Response, later: float, rules: Rules
) -> None:
    """A response is passed on, stored, or makes what is stored newer; never both sides at once."""
    entry, planned = stored(first, answered, rules)
    entries = () if entry is None else (entry,)
    wall = NOW + later
    found = plan(asked, planned.key, entries, wall, rules)
    if not isinstance(found, Forward):
        return
    outcome = received(found, asked, again, wall, wall + 0.1, rules)
    for old, new in outcome.freshened:
        assert old is entry
        assert (new.length, new.first, new.stop, new.status) == (old.length, old.first, old.stop, old.status)
    assert all(each is entry for each in outcome.removes)
    if outcome.action is Action.SERVE:
        assert outcome.base is entry
        assert outcome.answer is not None
    if outcome.action in (Action.PASS, Action.STORE):
        assert not {name.lower() for name, _ in outcome.fields} & HOP_BY_HOP
    if outcome.action is Action.AGAIN:
        assert outcome.again is not None
        assert not outcome.again.nominated
    if asked.method in ("POST", "FOO") and 200 <= again.status < 400:
        assert found.key in outcome.invalidates
    failed(found, asked, wall, rules)


@given(RESPONSES, st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_clock_that_jumps_back_makes_nothing_fresher(answered: Response, forth: float, back: float) -> None:
    entry, _ = stored(request(), answered, Rules())
    if entry is None or not entry.fresh_until:
        return
    lifetime = entry.fresh_until - entry.born
    wall = NOW + forth - back
    assert not entry.fresh(wall) or entry.fresh_until - wall <= lifetime
    assert not entry.fresh(NOW - 1)


@dataclass
class Model:
    """A resource with versions, as a good origin serves it."""

    version: int = 0
    weak: bool = False
    lifetime: int = 10
    born: dict[int, float] = field(default_factory=dict)

    def body(self, version: int) -> bytes:
        return b"".join(b"%02d-%02d;" % (version % 100, each) for each in range(20))

    def tag(self, version: int) -> str:
        return f'{"W/" if self.weak else ""}"{version}"'


class CacheAgainstModel(RuleBasedStateMachine):
    """Whatever is asked in whatever order: the octets are those of one version, the one that the tag names; no version is
    served longer than its lifetime after the next one came."""

    @initialize(weak=st.booleans(), lifetime=st.sampled_from([0, 5, 60]))
    def begin(self, weak: bool, lifetime: int) -> None:
        self.model = Model(weak=weak, lifetime=lifetime)
        self.model.born[0] = NOW
        self.cache = MemoryCache(self.answer, wall=NOW)
        self.down = False
        self.cut = False

    def answer(self, asked: Asked) -> Reply | None:
        model = self.model
        if self.down:
            return None
        if asked.method == "POST":
            return Reply(200, [("Date", http_date(self.cache.wall))])
        tag, body = model.tag(model.version), model.body(model.version)
        fields = [
            ("Date", http_date(self.cache.wall)), ("ETag", tag), ("Cache-Control", f"max-age={model.lifetime}"),
            ("X-Version", str(model.version)),
        ]  # fmt: skip
        if "if-none-match" in asked.fields and tag in asked.fields["if-none-match"].split(", "):
            return Reply(304, fields)
        found = asked_ranges(asked.fields["range"], len(body), 1) if "range" in asked.fields else None
        if found and ("if-range" not in asked.fields or (asked.fields["if-range"] == tag and not model.weak)):
            start, length = found[0]
            line = ("Content-Range", f"bytes {start}-{start + length - 1}/{len(body)}")
            return Reply(206, [*fields, line], body[start : start + length])
        fields.append(("Content-Length", str(len(body))))
        if asked.method == "HEAD":
            return Reply(200, fields)
        return Reply(200, fields, body, cut=50 if self.cut else None)

    @rule(fields=st.sampled_from([(), (("Cache-Control", "no-cache"),), (("Cache-Control", "max-stale=5"),)]))
    def get(self, fields: tuple[tuple[str, str], ...]) -> None:
        self.check(list(fields))

    @rule(start=st.integers(0, 119), length=st.integers(1, 60))
    def get_part(self, start: int, length: int) -> None:
        self.check([("Range", f"bytes={start}-{min(119, start + length - 1)}")])

    @rule(start=st.integers(0, 119), version=st.integers(0, 3))
    def get_part_of(self, start: int, version: int) -> None:
        self.check([("Range", f"bytes={start}-"), ("If-Range", f'"{version}"')])

    @rule(version=st.integers(0, 5))
    def get_unless(self, version: int) -> None:
        self.check([("If-None-Match", self.model.tag(version))])

    @rule()
    def head(self) -> None:
        got = self.cache.ask(request("HEAD"))
        assert got.status in (200, 504)

    @rule()
    def change(self) -> None:
        self.model.version += 1
        self.model.born[self.model.version] = self.cache.wall

    @rule(seconds=st.sampled_from([0.4, 1.0, 4.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.cache.wall += seconds

    @rule(down=st.booleans())
    def reach(self, down: bool) -> None:
        self.down = down

    @rule(cut=st.booleans())
    def break_off(self, cut: bool) -> None:
        self.cut = cut

    @rule()
    def post(self) -> None:
        self.cache.ask(request("POST"))
        if not self.down:
            assert not self.cache.stored(b"GET http://a.test/")

    def check(self, fields: list[tuple[str, str]]) -> None:
        asked = request(fields=fields)
        got = self.cache.ask(asked)
        if got.status == 504:
            assert self.down
            return
        version = int(got.fields["x-version"])
        if version < self.model.version:  # an older one: within its lifetime, as the next one came after it was fetched
            late = self.cache.wall - self.model.born[version + 1]
            assert late <= self.model.lifetime + (5 if "max-stale=5" in str(fields) else 0)
            assert ("Cache-Control", "no-cache") not in fields
        if got.status == 304:
            assert evaluate(asked.fields, "GET", f'"{version}"', 0) == 304
            return
        body = self.model.body(version)
        if got.status == 206:
            span = got.fields["content-range"].split(" ")[1].split("/")[0].split("-")
            assert got.body == body[int(span[0]) : int(span[1]) + 1]
            assert "range" in asked.fields
        else:
            assert got.status == 200
            assert got.body == (body[: len(got.body)] if self.cut else body)

    @invariant()
    def nothing_piles_up(self) -> None:
        assert len(self.cache.stored(b"GET http://a.test/")) <= 1


CacheAgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=25)
TestAgainstAModel = CacheAgainstModel.TestCase
