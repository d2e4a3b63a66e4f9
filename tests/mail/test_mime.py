"""Parts of messages, judged by the standard library's parser; bombs; seven bits out of eight."""

import base64
import email
import email.policy
import time
from email.message import EmailMessage, Message
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.mail.downgrade import CannotDowngrade, downgraded, has_long_line, needs
from netstack.mail.limits import HeadLimits, MimeLimits
from netstack.mail.mime import Part, content_encoding, content_type, structure

NESTED = b"""Content-Type: multipart/mixed; boundary="a b"\r
MIME-Version: 1.0\r
\r
preamble\r
--a b\r
\r
text 1\r
--a b \r
Content-Type: message/rfc822\r
\r
Subject: inner\r
Content-Type: multipart/alternative; boundary=c\r
\r
--c\r
Content-Type: text/html; charset=utf-8\r
\r
<p>\r
\r
--c--\r
epilogue of c\r
--a b\r
Content-Type: multipart/digest; boundary=d\r
\r
--d\r
\r
Subject: in a digest\r
\r
body\r
--d--\r
--a b--\r
epilogue\r
"""


def shape(part: Part, octets: bytes) -> Any:
    body = octets[part.body : part.end]
    return part.media, [shape(each, octets) for each in part.parts] or body


def test_a_structure() -> None:
    found = structure(NESTED)
    assert found.whole
    inner = ("multipart/alternative", [("text/html", b"<p>\r\n")])
    assert shape(found.root, NESTED) == (
        "multipart/mixed",
        [
            ("text/plain", b"text 1"),
            ("message/rfc822", [inner]),
            ("multipart/digest", [("message/rfc822", [("text/plain", b"body")])]),
        ],
    )
    cases = {(1,): "text/plain", (2,): "message/rfc822", (2, 1): "text/html", (3, 1, 1): "text/plain", (): "multipart/mixed"}
    for numbers, media in cases.items():
        part = found.root.find(numbers)
        assert part is not None
        assert part.media == media, numbers
    for numbers in ((4,), (0,), (1, 2), (2, 2), (1, 1, 2)):
        assert found.root.find(numbers) is None
    html = found.root.find((2, 1))
    assert html is not None
    assert (html.parameters, html.lines(NESTED), html.size) == ({"charset": "utf-8"}, 1, 5)
    assert [part.media for part in found.root.leaves()] == ["text/plain", "text/html", "text/plain"]


def judged(message: Message) -> Any:
    """The same of the standard library."""
    if message.is_multipart():
        return message.get_content_type(), [judged(each) for each in message.get_payload()]  # type: ignore[arg-type]
    return message.get_content_type(), message.get_payload().encode("ascii", "surrogateescape")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "octets",
    [
        NESTED,
        NESTED.replace(b"\r\n", b"\n"),
        b"just text",
        b"Subject: x\r\n\r\nbody\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x\r\n\r\ntwo without an end",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n\r\n--x\r\nA: b\r\n\r\n--x--",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--xy\r\n\r\none\r\n--x\r\n\r\ntwo\r\n--x--\r\n--x\r\n",
        b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\ninner",
    ],
)
def test_the_standard_library_agrees(octets: bytes) -> None:
    assert shape(structure(octets).root, octets) == judged(email.message_from_bytes(octets, policy=email.policy.compat32))


PIECES = [
    b"--a\r\n", b"--a--\r\n", b"--b\r\n", b"--b--\r\n", b"\r\n", b"text\r\n", b"x: y\r\n", b"--\r\n", b"--a b\r\n", b"\xff",
    b"Content-Type: multipart/mixed; boundary=a\r\n\r\n", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
    b"Content-Type: message/rfc822\r\n\r\n", b"Content-Transfer-Encoding: 8bit\r\n", b"\n--a",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join))
def test_any_octets_have_parts_inside_of_parts(octets: bytes) -> None:
    waiting = [structure(octets).root]
    assert (waiting[0].start, waiting[0].end) == (0, len(octets))
    while waiting:
        part = waiting.pop()
        assert part.start <= part.body <= part.end
        at = part.body
        for inside in part.parts:
            assert at <= inside.start <= inside.end <= part.end
            at = inside.end
        waiting += part.parts


MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
BOMBS = {
    "multiparts": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(50_000)),
    "messages": b"Content-Type: message/rfc822\r\n\r\n" * 100_000,
    "parts": MULTIPART + b"--b\r\n" * 1_000_000,
    "dashes": MULTIPART + (b"--\r\n" * 20_000 + b"--b\r\n") * 100,
    "one line of dashes": MULTIPART + b"--" * 5_000_000,
    "one boundary": (MULTIPART + b"--b\r\n") * 50_000,
    "long delimiters": MULTIPART + (b"--" + b"b" * 1000 + b"\r\n") * 10_000,
    "parameters": b"Content-Type: a/b" + b";a=b" * 60_000 + b"\r\n\r\n",
    "open quotes": b"Content-Type: a/b" + b';a="' * 60_000 + b"\r\n\r\n",
    "spaces": b"Content-Type: a/b;" + b" " * 250_000 + b"\r\n\r\n",
    "heads": MULTIPART + (b"--b\r\n" + b"A: b\r\n" * 1000) * 300,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_little(name: str) -> None:
    started = time.process_time()
    found = structure(BOMBS[name])
    assert time.process_time() - started < 3
    assert found.root.end == len(BOMBS[name])
    waiting, depth, count = [(found.root, 1)], 0, 0
    while waiting:
        part, level = waiting.pop()
        depth, count = max(depth, level), count + 1
        waiting += [(each, level + 1) for each in part.parts]
    assert (depth <= 50, count <= 1000) == (True, True)


def test_bounds_are_options() -> None:
    limits = MimeLimits(depth=3, parts=4, delimiters=10, head=HeadLimits(fields=1))
    found = structure(NESTED, limits)
    assert not found.whole
    for name in ("depth", "parts", "delimiters"):
        with pytest.raises(ValueError, match=name):
            MimeLimits(**{name: 0})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, ("text/plain", {})), (b"TEXT/Html", ("text/html", {})), (b"nonsense", ("text/plain", {})),
        (b'a/b; c="d\\"e; f=g"; C=x; h = i', ("a/b", {"c": 'd"e; f=g', "h": "i"})), (b"a/b;c=", ("a/b", {"c": ""})),
        (b"a/b (comment); c=d", ("a/b", {"c": "d"})),
    ],
)  # fmt: skip
def test_content_types(value: bytes | None, found: object) -> None:
    assert content_type(value) == found


def test_encodings() -> None:
    cases = {b"BASE64": "base64", b" 8bit (x)": "8bit", b"": "7bit", b"\xff": "7bit"}
    assert {value: content_encoding(value) for value in cases} == cases
    assert content_encoding(None) == "7bit"


# Seven bits


def made(*parts: Any, **fields: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in fields.items():
        message[name] = value
    for number, part in enumerate(parts):
        if isinstance(part, str):
            (message.add_attachment if number else message.set_content)(part, cte="8bit")
        elif isinstance(part, bytes):
            message.add_attachment(part, maintype="application", subtype="x", cte="8bit")
        else:
            message.add_attachment(part)
    return message


def contents(octets: bytes) -> list[object]:
    message = email.message_from_bytes(octets, policy=email.policy.default)
    found: list[object] = []
    for part in message.walk():
        if not part.is_multipart():
            content = part.get_content()  # type: ignore[attr-defined]
            found.append(content.replace("\r\n", "\n") if isinstance(content, str) else content)
    return found


LONG = "x" * 990 + "é" * 10
TEXT = "café au lait\nline two  \n.\n" + LONG + "\n\nFrom here\n"


@pytest.mark.parametrize(
    "message",
    [
        made(TEXT),
        made(TEXT, "second é\n", b"\xff\xfe\r\nx\r\n"),
        made("outer\n", made(TEXT, "deeper é\n", Subject="inner")),
        made("outer é\n", made("plain\n", made(TEXT)), Subject="three deep"),
    ],
)
def test_what_comes_out_says_the_same_in_seven_bits(message: EmailMessage) -> None:
    octets = message.as_bytes(policy=email.policy.SMTP.clone(cte_type="8bit", max_line_length=998))
    assert not octets.isascii()
    out = downgraded(octets)
    assert out.isascii()
    assert max(map(len, out.split(b"\r\n"))) <= 998
    assert contents(out) == contents(octets)
    assert not needs(out).eight_bits
    assert downgraded(out) == out
    assert b"8bit" not in out


def test_text_without_mime_becomes_mime() -> None:
    out = downgraded("Subject: x\r\n\r\ncafé\r\n".encode())
    assert out == (
        b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n"
        b"Content-Type: text/plain; charset=unknown-8bit\r\n\r\ncaf=C3=A9\r\n"
    )
    assert downgraded("café".encode()).endswith(b"\r\n\r\ncaf=C3=A9")


def test_what_nobody_reads_has_seven_bits_too() -> None:
    octets = MULTIPART + b"pre\xff\r\n--b\r\n\r\nplain\r\n--b--\r\nepi\xfe\r\n"
    assert downgraded(octets) == MULTIPART + b"pre?\r\n--b\r\n\r\nplain\r\n--b--\r\nepi?\r\n"
    octets = MULTIPART + b"\r\n\0.\r\npre\r\n--b\r\n\r\nplain\r\n--b--\r\n\n.\rx\r\n"
    assert downgraded(octets) == MULTIPART + b"\r\n?.\r\npre\r\n--b\r\n\r\nplain\r\n--b--\r\n?.?x\r\n"


def test_what_needs_nothing_stays_as_it_is() -> None:
    octets = b"Content-Transfer-Encoding: 8bit\r\n\r\nplain\r\n"
    assert downgraded(octets) is octets
    assert (needs(octets).eight_bits, needs(octets).binary, needs(octets).utf8) == (False, False, False)


SIGNED = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\n\r\nsignature\r\n--b--\r\n"


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (SIGNED.replace(b"plain", b"caf\xc3\xa9"), "5.6.3"),
        (MULTIPART + b"--b\r\n" + SIGNED.replace(b"=b", b"=c").replace(b"--b", b"--c").replace(b"plain", b"\xff"), "5.6.3"),
        ("Subject: café\r\n\r\nx".encode(), "5.6.7"),
        (b"Subject: a\0b\r\n\r\nx", "5.6.3"),
        (b"Subject: a\nTo: b\r\n\r\n\xff", "5.6.3"),
        (MULTIPART + b"--b\r\nX: \xff\r\n\r\nx\r\n--b--", "5.6.7"),
        (b"Content-Transfer-Encoding: base64\r\n\r\n\xff", "5.6.3"),
        (b"Content-Type: message/global\r\n\r\nSubject: \xff\r\n\r\nx", "5.6.7"),
        (b"Content-Type: multipart/mixed\r\n\r\n\xff", "5.6.3"),
        (BOMBS["parts"] + b"\xff", "5.6.3"),
    ],
)
def test_what_cannot_be_made_seven_bits(octets: bytes, status: str) -> None:
    with pytest.raises(CannotDowngrade) as refused:
        downgraded(octets)
    assert refused.value.status == status


def test_what_is_signed_and_plain_goes_through() -> None:
    octets = MULTIPART + b"--b\r\n\r\n\xff\r\n--b\r\n" + SIGNED.replace(b"=b", b"=c").replace(b"--b", b"--c") + b"--b--\r\n"
    out = downgraded(octets)
    assert out.isascii()
    assert SIGNED.replace(b"=b", b"=c").replace(b"--b", b"--c") in out


@pytest.mark.parametrize("body", [b"nul \x00", b"bare \r cr", b"bare \n lf", b"x" * 1001])
def test_binary(body: bytes) -> None:
    octets = b"Content-Type: application/x\r\nContent-Transfer-Encoding: binary\r\n\r\n" + body
    assert needs(octets).binary
    out = downgraded(octets)
    assert not needs(out).binary
    assert email.message_from_bytes(out).get_payload(decode=True) == body


LONG = b"ketchup and pickles, " * 100
B64 = base64.b64encode(bytes(range(256)) * 10)
QP = b"=C3=A9=0A " * 200 + b"x"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Subject: x\r\n", LONG),
        (b"Subject: x\r\n", LONG + b"\r\ncaf\xc3\xa9\r\n" + LONG),
        (b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", "é ".encode() * 900),
        (b"Content-Type: application/json\r\n", b'{"a": ' + b"1" * 3000 + b"}"),
        (b"Content-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n", B64),
        (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: Quoted-Printable\r\n", QP),
    ],
)
@pytest.mark.parametrize("seven", [True, False])
@pytest.mark.parametrize("inside", [False, True])
def test_long_lines_become_shorter_and_say_the_same(head: bytes, body: bytes, seven: bool, inside: bool) -> None:
    octets = head + b"\r\n" + body
    if inside:
        octets = MULTIPART + b"--b\r\n" + octets + b"\r\n--b\r\n\r\ncaf\xc3\xa9\r\n--b--\r\n"
    out = downgraded(octets, seven=seven)
    assert max(map(len, out.split(b"\r\n"))) <= 998
    assert out.isascii() or not seven
    assert (b"caf\xc3\xa9" in out) is (inside and not seven)

    def payload(of: bytes) -> bytes:
        message = email.message_from_bytes(of)
        part = message.get_payload(0) if inside else message
        octets = part.get_payload(decode=True)  # type: ignore[union-attr]
        assert isinstance(octets, bytes)
        return octets

    assert payload(out) == payload(octets)
    assert downgraded(out, seven=seven) == out


def test_long_fields_are_folded() -> None:
    to = b"To: " + b", ".join(b"somebody%d@hamburger.edu" % number for number in range(200))
    octets = b"From: a@b.test\r\n" + to + b"\r\nX: y\r\n\r\nx\r\n"
    out = downgraded(octets, seven=False)
    assert max(map(len, out.split(b"\r\n"))) <= 998
    assert out.replace(b"\r\n ", b" ") == octets


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (SIGNED.replace(b"plain", LONG), "5.6.3"),
        (SIGNED.replace(b"signed", b"encrypted").replace(b"plain", LONG), "5.6.3"),
        (b"Subject: " + b"x" * 1000 + b"\r\n\r\nx", "5.6.0"),
        (b"Content-Type: multipart/mixed\r\n\r\n" + LONG, "5.6.3"),
    ],
)
def test_long_lines_that_stay(octets: bytes, status: str) -> None:
    with pytest.raises(CannotDowngrade) as refused:
        downgraded(octets, seven=False)
    assert refused.value.status == status


@pytest.mark.parametrize("length", [0, 1, 997, 998, 999, 1000, 1001, 1996, 5000])
@pytest.mark.parametrize("before", [b"", b"a\r\n", b"a" * 998 + b"\r\n", b"a\r\n" * 999])
@pytest.mark.parametrize("after", [b"", b"\r\n", b"\r\nb\r\n"])
def test_lines_that_are_long(before: bytes, length: int, after: bytes) -> None:
    octets = before + b"x" * length + after
    assert has_long_line(octets) is (max(map(len, octets.split(b"\r\n"))) > 998)
    assert has_long_line(octets, len(before)) is (length > 998)


@given(st.lists(st.sampled_from([*PIECES, b"caf\xc3\xa9\r\n", b"x" * 1200]), max_size=20).map(b"".join))
def test_it_is_seven_bits_or_refused(octets: bytes) -> None:
    try:
        out = downgraded(octets)
    except CannotDowngrade:
        return
    assert out.isascii()
    found = needs(out)
    assert (found.eight_bits, found.utf8) == (False, False)
