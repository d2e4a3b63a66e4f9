"""DNS over HTTPS without HTTP: messages in requests, refusals, and how long a reply may be kept."""

from base64 import urlsafe_b64encode

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.dns.doh import MEDIA, Refused, judge, lifetime, message, target
from netstack.dns.wire import LARGEST

QUERY = dns.message.make_query("www.example.com", "A", id=0).to_wire()
RFC = "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB"
"""RFC 8484 §4.1.1."""


def test_the_example_of_the_rfc() -> None:
    assert message("GET", f"dns={RFC}", b"") == QUERY
    assert message("POST", None, QUERY) == QUERY
    assert target("/dns-query", b"\x12\x34" + QUERY[2:]) == f"/dns-query?dns={RFC}"


@pytest.mark.parametrize(
    ("method", "media", "length", "status"),
    [
        ("GET", None, 0, None), ("HEAD", "text/html", 0, None), ("POST", MEDIA, 30, None),
        ("POST", MEDIA.upper() + "; x=y", LARGEST, None), ("POST", None, 30, 415), ("POST", "application/dns-json", 30, 415),
        ("POST", MEDIA, LARGEST + 1, 413), ("PUT", MEDIA, 30, 405), ("DELETE", None, 0, 405),
    ],
)  # fmt: skip
def test_heads(method: str, media: str | None, length: int, status: int | None) -> None:
    if status is None:
        judge(method, media, length)
    else:
        with pytest.raises(Refused) as refused:
            judge(method, media, length)
        assert refused.value.status == status


@pytest.mark.parametrize(
    ("query", "content"),
    [
        (None, b""), ("", b""), ("dns=", b""), ("DNS=" + RFC, b""), (f"dns={RFC}&dns={RFC}", b""), ("dns=AAA", b""),
        (f"dns=!{RFC}", b""), ("dns=A", b""), ("dns=" + RFC.replace("A", "+"), b""), ("dns=%ff", b""),
        ("dns=" + urlsafe_b64encode(b"\0\0\x81" + QUERY[3:]).decode(), b""), ("x=y", QUERY),
    ],
)  # fmt: skip
def test_what_is_no_message(query: str | None, content: bytes) -> None:
    with pytest.raises(Refused) as refused:
        message("GET", query, content)
    assert refused.value.status == 400


@given(st.text(max_size=60), st.binary(max_size=40))
def test_whatever_comes_is_a_message_or_refused(query: str, content: bytes) -> None:
    for method in ("GET", "POST"):
        try:
            found = message(method, query, content)
        except Refused as refused:
            found = bytes(12) if refused.status == 400 else b""
        assert len(found) >= 12


@pytest.mark.parametrize("form", [RFC, RFC + "=", RFC.replace("A", "%41"), f"{RFC}&ct=x"])
def test_forms_of_the_variable(form: str) -> None:
    assert message("GET", f"x=y&dns={form}", b"") == QUERY


def reply(rcode: int = 0, answer: tuple[str, ...] = (), soa: str | None = None) -> bytes:
    made = dns.message.make_response(dns.message.from_wire(QUERY))
    made.set_rcode(rcode)  # type: ignore[arg-type]
    made.answer = [dns.rrset.from_text(*text.split(" ", 4)) for text in answer]
    if soa is not None:
        ttl, minimum = soa.split()
        made.authority = [dns.rrset.from_text("example.com.", int(ttl), "IN", "SOA", f". . 1 2 3 4 {minimum}")]
    return bytes(made.to_wire())


@pytest.mark.parametrize(
    ("made", "seconds"),
    [
        (reply(0, ("www.example.com. 300 IN CNAME a.example.com.", "a.example.com. 60 IN A 10.0.0.1")), 60),
        (reply(0, ("www.example.com. 0 IN A 10.0.0.1",)), 0),
        (reply(3, (), "900 60"), 60), (reply(0, (), "30 60"), 30), (reply(0), 0), (reply(2), 0),
        (reply(5, ("www.example.com. 300 IN A 10.0.0.1",)), 0), (b"short", 0),
    ],
)  # fmt: skip
def test_lifetimes(made: bytes, seconds: int) -> None:
    assert lifetime(made) == seconds


def test_a_client_pads_its_query() -> None:
    made = dns.message.make_query("www.example.com", "A", use_edns=0).to_wire()
    assert len(message("GET", target("", made).partition("?")[2], b"")) == 128
