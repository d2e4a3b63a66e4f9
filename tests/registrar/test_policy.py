"""Names, name servers and DS records that are accepted, and those that are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.registrar.policy import Invalid, Policy, host_name, unicode_name

POLICY = Policy(("com", "co.uk", "uk"))
DS = "12345 13 2 " + "ab" * 32
SERVERS = [("dns1.utopia.com", ["10.0.0.1"]), ("dns2.utopia.com", ["10.0.0.2"])]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("utopia.com", "utopia.com"),
        (" UTOPIA.com. ", "utopia.com"),
        ("a.co.uk", "a.co.uk"),
        ("a.uk", "a.uk"),
        ("9-9.com", "9-9.com"),
        ("bücher.com", "xn--bcher-kva.com"),
        ("xn--bcher-kva.com", "xn--bcher-kva.com"),
        ("x" * 63 + ".com", "x" * 63 + ".com"),
    ],
)
def test_domains(text: str, name: str) -> None:
    assert POLICY.domain(text) == name
    assert POLICY.domain(unicode_name(name)) == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing"),
        ("com", "not below"),
        ("utopia.org", r"\.com, \.co\.uk"),
        ("www.utopia.com", r"try utopia\.com"),
        ("nic.com", "reserved"),
        ("-x.com", "hyphen"),
        ("x-.com", "hyphen"),
        ("a_b.com", "a-z"),
        ("a b.com", "a-z"),
        ("a..com", "a-z|label"),
        ("x" * 64 + ".com", "63"),
        ("ab--cd.com", "5891"),
        ("xn--a.com", "5891"),
        ("xn--.com", "5891|a-z"),
        ("\u2665.com", "5891"),
        ("a\x00.com", "a-z"),
        ("x." * 200 + "com", "253"),
    ],
)
def test_domains_that_are_none(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as told:
        POLICY.domain(text)
    assert told.value.field == "name"


@given(st.text(max_size=80))
def test_whatever_comes_is_a_host_s_name_or_refused(text: str) -> None:
    try:
        name = host_name("name", text)
    except Invalid:
        return
    assert host_name("name", name) == name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")


@pytest.mark.parametrize(
    ("servers", "ds"),
    [
        (SERVERS, []),
        (SERVERS, [DS, DS]),
        ([("ns.elsewhere.org", []), ("ns.utopia.co.uk", [])], []),
        ([("utopia.com", ["10.0.0.1", "2001:db8:0:0::1"]), ("ns.other.com", [])], []),
    ],
)
def test_delegations(servers: list[tuple[str, list[str]]], ds: list[str]) -> None:
    found = POLICY.delegation("utopia.com", servers, ds)
    assert [server.name for server in found.servers] == [name for name, _ in servers]
    assert found.ds == tuple(dict.fromkeys(ds))
    assert "2001:db8::1" in found.servers[0].addresses or len(found.servers[0].addresses) < 2


@pytest.mark.parametrize(
    ("servers", "ds", "field", "why"),
    [
        ([], [], "servers", "2 to 13"),
        (SERVERS[:1], [], "servers", "2 to 13"),
        ([*SERVERS] * 7, [], "servers", "2 to 13"),
        ([SERVERS[0], SERVERS[0]], [], "servers", "twice"),
        ([SERVERS[0], ("dns2.utopia.com", [])], [], "servers[1]", "9471"),
        ([SERVERS[0], ("ns.other.com", ["10.0.0.3"])], [], "servers[1]", "own domain"),
        ([SERVERS[0], ("dns2.utopia.com", ["10.0.0.999"])], [], "servers[1]", "address"),
        ([SERVERS[0], ("dns2.utopia.com", ["0.0.0.0"])], [], "servers[1]", "address"),
        ([SERVERS[0], ("dns2.utopia.com", ["ff02::1"])], [], "servers[1]", "address"),
        ([SERVERS[0], ("dns2.utopia.com", [f"10.0.0.{n}" for n in range(1, 9)])], [], "servers[1]", "at most 6"),
        ([SERVERS[0], ("localhost", [])], [], "servers[1]", "domain"),
        ([SERVERS[0], ("bad_name.org", [])], [], "servers[1]", "1123"),
        (SERVERS, ["x"], "ds[0]", "4034"),
        (SERVERS, ["12345 13 2 abcd"], "ds[0]", "4034"),
        (SERVERS, ["12345 13 1 " + "ab" * 20], "ds[0]", "8624"),
        (SERVERS, ["12345 5 2 " + "ab" * 32], "ds[0]", "8624"),
        (SERVERS, [f"{n} 13 2 " + "ab" * 32 for n in range(9)], "ds", "at most 8"),
    ],
)
def test_delegations_that_are_none(servers: list[tuple[str, list[str]]], ds: list[str], field: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as told:
        POLICY.delegation("utopia.com", servers, ds)
    assert told.value.field == field


@pytest.mark.parametrize("years", [0, 11, -1, True, "1", 1.5, None])
def test_years_that_are_none(years: object) -> None:
    with pytest.raises(Invalid, match="1 to 10"):
        POLICY.years(years)


def test_rules_that_cannot_be_met() -> None:
    with pytest.raises(ValueError, match="least_servers"):
        Policy(("com",), least_servers=14)
    with pytest.raises(ValueError, match="most_ds"):
        Policy(("com",), most_ds=0)
