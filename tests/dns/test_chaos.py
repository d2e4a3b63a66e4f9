"""What a server tells of itself: nothing by itself, and what options say."""

import dns.edns
import dns.message
import pytest
from dns.message import Message

from netstack.dns.chaos import Introduction
from netstack.dns.guard import Admitted, Guard
from netstack.dns.limits import ServerLimits
from netstack.sansio import Now

TOLD = Introduction("netstack", "ns1.foo.com", "ns1")
NOW = Now(1.0, 1.0)


def asked(name: str, rdtype: str = "TXT", rdclass: str = "CH", **options: object) -> bytes:
    return bytes(dns.message.make_query(name, rdtype, rdclass, id=77, **options).to_wire())  # type: ignore[arg-type]


def through(introduction: Introduction, query: bytes, reply: bytes | None = None) -> Message | None:
    """What a guard makes of a query, and of the reply to it."""
    guard = Guard(ServerLimits(), "on", lambda: bytes(16), (), introduction)
    admitted = guard.admit(query, "10.0.0.1", False, NOW)
    if isinstance(admitted, Admitted):
        admitted = guard.finish(admitted, reply, NOW)
    return None if admitted is None else dns.message.from_wire(admitted)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("version.bind", "netstack"),
        ("VERSION.server", "netstack"),
        ("id.server", "ns1.foo.com"),
        ("hostname.bind", "ns1.foo.com"),
    ],
)
@pytest.mark.parametrize("edns", [None, 0])
def test_names_of_class_ch(name: str, text: str, edns: int | None) -> None:
    query = asked(name, use_edns=edns)
    message = through(TOLD, query)
    assert message is not None
    assert dns.message.from_wire(query).is_response(message)
    assert [str(rrset) for rrset in message.answer] == [f'{name}. 0 CH TXT "{text}"']
    assert message.edns == (-1 if edns is None else 0)
    assert through(Introduction(), query) is None  # left to whoever refuses it


@pytest.mark.parametrize(
    "query",
    [
        asked("authors.bind"),
        asked("version.bind", "A"),
        asked("version.bind", "TXT", "IN"),
        asked("version.bind")[:-1],
        asked("version.bind")[:12],
        asked("version.bind")[:2] + b"\x10" + asked("version.bind")[3:],
        asked("version.bind")[:2] + b"\x80" + asked("version.bind")[3:],
    ],
)
def test_other_questions_are_not_answered(query: bytes) -> None:
    assert TOLD.answer(query, 1232) is None


@pytest.mark.parametrize(("wanted", "told"), [(True, TOLD), (True, Introduction()), (False, TOLD)])
def test_nsid_is_for_those_who_ask(wanted: bool, told: Introduction) -> None:
    options = [dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")] if wanted else []
    query = dns.message.make_query("foo.com", "A", use_edns=0, options=options)
    message = through(told, query.to_wire(), dns.message.make_response(query).to_wire())
    assert message is not None
    found = [option.to_wire() for option in message.options if option.otype == dns.edns.OptionType.NSID]
    assert found == ([b"ns1"] if wanted and told.nsid else [])


def test_a_reply_that_grows_too_long_is_cut() -> None:
    options = [dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")]
    query = dns.message.make_query("foo.com", "TXT", use_edns=0, payload=512, options=options)
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text("foo.com.", 5, "IN", "TXT", "x" * 200, "y" * 200))
    assert len(response.to_wire()) <= 512
    message = through(Introduction(nsid="n" * 200), query.to_wire(), response.to_wire())
    assert message is not None
    assert (message.answer, bool(message.flags & dns.flags.TC), len(message.options)) == ([], True, 1)


def test_texts_are_bounded() -> None:
    with pytest.raises(ValueError, match="nsid: expected at most 255 octets"):
        Introduction(nsid="x" * 256)
