"""Forms with files: what browsers and curl send, and what is refused (RFC 7578, RFC 2046 §5.1)."""

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from netstack.http.multipart import HEAD, Part, boundary_of, parse_multipart
from netstack.http.wire import BadMessage

NAMED = b'Content-Disposition: form-data; name="a"\r\n'


def form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (form(NAMED + b"\r\n1678"), [Part("a", None, "text/plain", b"1678")]),
        (form(NAMED + b"\r\n"), [Part("a", None, "text/plain", b"")]),
        (b"before\r\n" + form(NAMED + b"\r\n1") + b"after --b\r\n", [Part("a", None, "text/plain", b"1")]),
        (form(NAMED + b"\r\n1")[:-2], [Part("a", None, "text/plain", b"1")]),
        (form(NAMED + b"\r\n\r\n--bx"), [Part("a", None, "text/plain", b"\r\n--bx")]),
        (
            form(
                b'content-disposition: Form-Data; filename="C:\\x.gif"; name=f\r\nContent-Type: image/gif\r\n\r\nGIF\0\r\n'
            ),
            [Part("f", "C:\\x.gif", "image/gif", b"GIF\0\r\n")],
        ),
        (
            form(b'Content-Disposition: form-data; name="f"; filename=""\r\n\r\n'),
            [Part("f", "", "application/octet-stream", b"")],
        ),
        (
            form('Content-Disposition: form-data; name="%22é%0D%0A%41"\r\n\r\nx'.encode()),
            [Part('"é\r\n%41', None, "text/plain", b"x")],
        ),
        (
            form(NAMED + b"\r\n1", NAMED + b"\r\n2"),
            [Part("a", None, "text/plain", b"1"), Part("a", None, "text/plain", b"2")],
        ),
    ],
    ids=range(9),
)
def test_forms(body: bytes, parts: list[Part]) -> None:
    assert parse_multipart(body, "b", 10) == parts


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"--b--\r\n", 400),
        (b"--b\r\n" + NAMED + b"\r\n1", 400),
        (form(b"no fields"), 400),
        (form(b"\r\nno fields"), 400),
        (form(b"Content-Disposition: attachment; name=a\r\n\r\n"), 400),
        (form(b"Content-Disposition: form-data\r\n\r\n"), 400),
        (form(b"odd\r\n" + NAMED + b"\r\n"), 400),
        (form(NAMED + b"X: " + b"x" * HEAD + b"\r\n\r\n"), 400),
        (form(*[NAMED + b"\r\n1"] * 11), 413),
    ],
    ids=range(10),
)
def test_what_is_no_form_is_refused(body: bytes, code: int) -> None:
    with pytest.raises(BadMessage) as refused:
        parse_multipart(body, "b", 10)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("value", "boundary"),
    [("multipart/form-data; boundary=b", "b"), ('multipart/form-data; charset=x; Boundary="a b"', "a b")],
)
def test_boundaries(value: str, boundary: str) -> None:
    assert boundary_of(value) == boundary


@pytest.mark.parametrize(
    "value", ["multipart/form-data", "m/f; boundary=", 'm/f; boundary="a "', f"m/f; boundary={'x' * 71}"]
)
def test_boundaries_that_are_none(value: str) -> None:
    with pytest.raises(BadMessage):
        boundary_of(value)


@given(st.lists(st.tuples(st.text("abc -_", min_size=1, max_size=10), st.binary(max_size=60)), min_size=1, max_size=5))
def test_what_requests_sends_is_read(fields: list[tuple[str, bytes]]) -> None:
    files = [(name, ("kiwi.gif", content, "image/gif")) for name, content in fields]
    sent = requests.Request("POST", "http://a.test/", files=files).prepare()
    assert isinstance(sent.body, bytes)
    parts = parse_multipart(sent.body, boundary_of(sent.headers["Content-Type"]), 10)
    assert parts == [Part(name, "kiwi.gif", "image/gif", content) for name, content in fields]


@given(st.binary(max_size=300))
def test_any_octets_are_a_form_or_refused(body: bytes) -> None:
    for octets in (body, form(body), form(NAMED + body)):
        try:
            parts = parse_multipart(octets, "b", 10)
        except BadMessage:
            continue
        assert sum(len(part.content) for part in parts) < len(octets)
