"""SPF, DKIM, DMARC and what is said about them; dkimpy, which nobody here wrote, judges signatures both ways."""

from collections import Counter
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from netstack.kernel.resolver import FakeResolver, ResolutionError
from netstack.mail.addresses import parse_mailbox
from netstack.mail.limits import HeadLimits
from netstack.mail.message import Field, head
from netstack.sansio import Peer
from netstack.smtp.authentication import dkim, dmarc, results, spf
from netstack.smtp.authentication.checks import AuthenticationLimits, Verifying
from netstack.smtp.authentication.lookup import joined
from netstack.smtp.events import MailReceived
from netstack.smtp.reception import Client, Transaction
from tests.interop.programs import need_library

judge = need_library("dkim")

RSA, ED = generate_private_key(65537, 1024), Ed25519PrivateKey.from_private_bytes(b"k" * 32)
NOW = 1_780_000_000.0


def run(work: Any) -> Any:
    found: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(found.append)
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


# SPF: RFC 7208's own examples (appendix A), and the cases of its test suite that decide


ZONE: dict[tuple[str, str], list[str]] = {
    ("example.com", "A"): ["192.0.2.10", "192.0.2.11"],
    ("example.com", "MX"): ["10 mail-a.example.com.", "20 mail-b.example.com."],
    ("mail-a.example.com", "A"): ["192.0.2.129"],
    ("mail-b.example.com", "A"): ["192.0.2.130"],
    ("amy.example.com", "A"): ["192.0.2.65"],
    ("example.org", "MX"): ["10 mail-c.example.org."],
    ("mail-c.example.org", "A"): ["192.0.2.140"],
    ("10.2.0.192.in-addr.arpa", "PTR"): ["example.com."],
    ("65.2.0.192.in-addr.arpa", "PTR"): ["amy.example.com."],
    ("mobile-users._spf.example.com", "A"): ["127.0.0.2"],
    ("bob.lp._spf.example.com", "A"): ["127.0.0.2"],
    ("empty.example.com", "TXT"): ['"v=spf1"'],
    ("three.example.com", "TXT"): ['"hello"', '"v=spf1 a" ":example.com -all"'],
    ("two.example.com", "TXT"): ['"v=spf1 -all"', '"v=spf1 +all"'],
    ("loop.example.com", "TXT"): ['"v=spf1 include:loop.example.com -all"'],
    ("deep.example.com", "TXT"): ['"v=spf1 a:x1.test a:x2.test a:x3.test a:x4.test -all"'],
    ("inner.example.com", "TXT"): ['"v=spf1 ip4:192.0.2.0/25 -all"'],
    ("v6.example.com", "TXT"): ['"v=spf1 ip6:2001:db8::/32 -all"'],
}


@pytest.mark.parametrize(
    ("record", "address", "expected"),
    [
        ("v=spf1 +all", "192.0.2.129", "pass"),
        ("v=spf1 a -all", "192.0.2.10", "pass"),
        ("v=spf1 a -all", "192.0.2.129", "fail"),
        ("v=spf1 a:example.org -all", "192.0.2.10", "fail"),
        ("v=spf1 mx -all", "192.0.2.129", "pass"),
        ("v=spf1 mx:example.org -all", "192.0.2.140", "pass"),
        ("v=spf1 mx mx:example.org -all", "192.0.2.130", "pass"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.131", "pass"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.141", "pass"),
        ("v=spf1 mx/30 -all", "192.0.2.133", "fail"),
        ("v=spf1 ptr -all", "192.0.2.65", "pass"),
        ("v=spf1 ptr -all", "192.0.2.140", "fail"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129", "pass"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.65", "fail"),
        ("v=spf1 ip4:192.0.2.129 ~all", "192.0.2.1", "softfail"),
        ("v=spf1 ip4:192.0.2.129 ?all", "192.0.2.1", "neutral"),
        ("v=spf1 ip4:192.0.2.129", "192.0.2.1", "neutral"),
        ("v=spf1 redirect=inner.example.com", "192.0.2.1", "pass"),
        ("v=spf1 redirect=nothing.example.com", "192.0.2.1", "permerror"),
        ("v=spf1 include:inner.example.com -all", "192.0.2.1", "pass"),
        ("v=spf1 include:inner.example.com ?all", "192.0.2.200", "neutral"),
        ("v=spf1 include:nothing.example.com ?all", "192.0.2.200", "permerror"),
        ("v=spf1 exists:%{l}.lp._spf.%{d} -all", "192.0.2.200", "pass"),
        ("v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all", "192.0.2.200", "fail"),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::1", "pass"),
        ("v=spf1 ip6:2001:db8::/32 -all", "::ffff:192.0.2.1", "fail"),
        ("V=SPF1 IP4:192.0.2.1 -ALL", "192.0.2.1", "pass"),
        ("v=spf1 unknown=x moo.cow-far_out=man:dog/cat ip4:192.0.2.1 -all", "192.0.2.1", "pass"),
        ("v=spf1 a:mail-a.example.com//33 -all", "192.0.2.129", "pass"),
        ("v=spf10", "192.0.2.1", "none"),
        ("", "192.0.2.1", "none"),
        ("v=spf1 all:x", "192.0.2.1", "permerror"),
        ("v=spf1 ip4:192.0.2.1/33", "192.0.2.1", "permerror"),
        ("v=spf1 ip4:192.0.2.1/01", "192.0.2.1", "permerror"),
        ("v=spf1 ip4", "192.0.2.1", "permerror"),
        ("v=spf1 a:", "192.0.2.1", "permerror"),
        ("v=spf1 a/33", "192.0.2.1", "permerror"),
        ("v=spf1 foo", "192.0.2.1", "permerror"),
        ("v=spf1 -all foo", "192.0.2.1", "permerror"),
        ("v=spf1 exists:%{z}.a.b -all", "192.0.2.1", "permerror"),
        ("v=spf1 exists:%x.a.b -all", "192.0.2.1", "permerror"),
        ("v=spf1 redirect=a.b redirect=a.b", "192.0.2.1", "permerror"),
        ("v=spf1 \u00e4", "192.0.2.1", "permerror"),
    ],
)  # fmt: skip
def test_spf(record: str, address: str, expected: str) -> None:
    zone = ZONE | {("example.com", "TXT"): [f'"{record}"'] if record else []}
    assert run(spf.check_host(FakeResolver(zone), address, "example.com", "bob@example.com", "host.test")).result == expected


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("three.example.com", "pass"), ("two.example.com", "permerror"), ("empty.example.com", "neutral"),
        ("loop.example.com", "permerror"), ("deep.example.com", "permerror"), ("nothing.test", "none"), ("com", "none"),
        ("a..b", "none"), ("x" * 64 + ".test", "none"),
    ],
)  # fmt: skip
def test_spf_of_domains(domain: str, expected: str) -> None:
    resolver = FakeResolver(ZONE)
    assert run(spf.check_host(resolver, "192.0.2.10", domain, f"bob@{domain}", "host.test")).result == expected
    assert len(resolver.asked) <= 12 * 3


def test_spf_without_the_dns() -> None:
    class Down(FakeResolver):
        async def records(self, name: str, rdtype: str) -> Any:
            raise ResolutionError("no reply", temporary=True)

    assert run(spf.check_host(Down(), "192.0.2.1", "example.com", "a@example.com", "x.test")).result == "temperror"


def test_macros() -> None:
    """The examples of RFC 7208 §7.4."""
    for text, expected in [
        ("%{s}", "strong-bad@email.example.com"), ("%{o}", "email.example.com"), ("%{d4}", "email.example.com"),
        ("%{d2}", "example.com"), ("%{dr}", "com.example.email"), ("%{d2r}", "example.email"), ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"), ("%{lr-}", "bad.strong"), ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%%%_%-", "% %20"),
    ]:  # fmt: skip
        check = spf._Check(FakeResolver(), spf.ip_address("192.0.2.3"), "strong-bad@email.example.com", "x", spf.SPFLimits())
        assert run(check._expanded(text, "email.example.com")) == expected


def test_txt_records_are_joined() -> None:
    assert joined('"v=spf1 " "a\\"b\\\\c\\255"') == 'v=spf1 a"b\\c\xff'


# DKIM


MESSAGE = (
    b"Received: from a by b; now\r\nFrom: Alice <alice@crepes.fr>\r\nTo: bob@hamburger.edu\r\nSubject:  Do you\r\n\tlike"
    b" ketchup?\r\n\r\nHi.\r\n\r\nWe  lost the game. \r\n\r\n\r\n"
)


def key_of(key: Any) -> tuple[bytes, bytes]:
    """For dkimpy: the private key, and its algorithm."""
    if isinstance(key, Ed25519PrivateKey):
        from base64 import b64encode

        return b64encode(key.private_bytes_raw()), b"ed25519-sha256"
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()), b"rsa-sha256"


def ours(octets: bytes, record: str, wall: float = NOW) -> dkim.Verdict:
    of = head(octets)
    [field] = [field.raw for field in of.fields if field.name == b"dkim-signature"]
    return dkim.verify(dkim.parse_signature(field), of.fields, octets[of.body :], record, wall)


@pytest.mark.parametrize("key", [RSA, ED], ids=["rsa", "ed25519"])
def test_dkimpy_accepts_what_we_sign(key: Any) -> None:
    record = dkim.public_record(key)
    signed = dkim.sign(MESSAGE, key, "crepes.fr", "s1", 1_700_000_000.0, lifetime=1e9) + MESSAGE
    asked: list[bytes] = []

    def texts(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name)
        return record.encode()

    assert judge.verify(signed, dnsfunc=texts)
    assert asked == [b"s1._domainkey.crepes.fr."]
    assert ours(signed, record).result == "pass"
    for changed in (signed.replace(b"ketchup", b"mustard"), b"From: eve@crepes.fr\r\n" + signed, b"Subject: x\r\n" + signed):
        assert not judge.verify(changed, dnsfunc=texts)
        assert ours(changed, record).result == "fail"


@pytest.mark.parametrize("key", [RSA, ED], ids=["rsa", "ed25519"])
@pytest.mark.parametrize(
    "how", [(b"relaxed", b"relaxed"), (b"relaxed", b"simple"), (b"simple", b"relaxed"), (b"simple", b"simple")]
)
def test_we_accept_what_dkimpy_signs(key: Any, how: tuple[bytes, bytes]) -> None:
    private, algorithm = key_of(key)
    header = judge.sign(MESSAGE, b"s1", b"crepes.fr", private, canonicalize=how, signature_algorithm=algorithm)
    record = dkim.public_record(key)
    assert ours(header + MESSAGE, record, 4e9).result == "pass"
    for wrong in (b"We  lost", b"alice@", b"Do you"):
        assert ours(header + MESSAGE.replace(wrong, b"X" + wrong), record).result == "fail"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([b"", b" ", b"a", b"a ", b" a", b"a  b", b"\t", b"a\tb ", b"."]), max_size=8), st.booleans())
def test_bodies_of_every_shape(lines: list[bytes], relaxed: bool) -> None:
    octets = b"From: a@crepes.fr\r\nSubject: x\r\n\r\n" + b"".join(line + b"\r\n" for line in lines)
    private, algorithm = key_of(ED)
    how = b"relaxed" if relaxed else b"simple"
    header = judge.sign(octets, b"s", b"crepes.fr", private, canonicalize=(how, how), signature_algorithm=algorithm)
    assert ours(header + octets, dkim.public_record(ED), 4e9).result == "pass"


RECORD = dkim.public_record(ED)


@pytest.mark.parametrize(
    ("record", "expected", "reason"),
    [
        ("v=DKIM1; k=ed25519; p=", "permerror", "revoked"),
        ("v=DKIM2; k=ed25519; p=AA", "permerror", "no DKIM key"),
        ("k=ed25519", "permerror", "no key"),
        ("v=DKIM1; k=ed25519; p=!!", "permerror", "cannot be read"),
        (dkim.public_record(RSA), "permerror", "another algorithm"),
        (RECORD + "; h=sha1", "permerror", "SHA-256"),
        (RECORD + "; s=other", "permerror", "not for mail"),
        (RECORD + "; t=y:s", "pass", ""),
        (RECORD, "pass", ""),
    ],
    ids=["revoked", "version", "missing", "base64", "rsa", "sha1", "service", "strict", "good"],
)
def test_keys(record: str, expected: str, reason: str) -> None:
    verdict = ours(dkim.sign(MESSAGE, ED, "crepes.fr", "s", NOW) + MESSAGE, record)
    assert verdict.result == expected
    assert reason in verdict.reason


def test_signatures_age() -> None:
    signed = dkim.sign(MESSAGE, ED, "crepes.fr", "s", NOW) + MESSAGE
    assert ours(signed, RECORD, NOW + 13 * 86400).result == "pass"
    assert "expired" in ours(signed, RECORD, NOW + 15 * 86400).reason


@pytest.mark.parametrize(
    "field",
    [
        b"v=2; a=ed25519-sha256; b=; bh=; d=a.b; h=from; s=s", b"v=1; a=rsa-sha1; b=; bh=; d=a.b; h=from; s=s",
        b"v=1; a=ed25519-sha256; b=; bh=; d=a.b; h=to; s=s", b"v=1; a=ed25519-sha256; b=; bh=; d=a.b; h=from; s=s; i=@c.d",
        b"v=1; v=1; a=ed25519-sha256; b=; bh=; d=a.b; h=from; s=s", b"v=1", b"nonsense", b"",
        b"v=1; a=ed25519-sha256; b=; bh=; d=a b; h=from; s=s",
        b"v=1; a=ed25519-sha256; b=; bh=; d=a.b; h=from; s=s; x=soon",
    ],
)  # fmt: skip
def test_signatures_that_nobody_may_accept(field: bytes) -> None:
    with pytest.raises(dkim.BadSignature):
        dkim.parse_signature(b"DKIM-Signature: " + field + b"\r\n")


def test_a_part_of_the_body_that_is_not_signed() -> None:
    private, algorithm = key_of(ED)
    header = judge.sign(MESSAGE, b"s", b"crepes.fr", private, length=True, signature_algorithm=algorithm)
    assert ours(header + MESSAGE, RECORD, 4e9).result == "pass"
    assert ours(header + MESSAGE + b"and more\r\n", RECORD, 4e9).result == "policy"


# DMARC


def fields_of(author: str) -> list[Field]:
    return [Field(b"from", f"From: {author}\r\n".encode())]


@pytest.mark.parametrize(
    ("author", "published", "passed_spf", "passed_dkim", "expected", "policy"),
    [
        ("a@crepes.fr", {}, "crepes.fr", "", "none", "none"),
        ("a@crepes.fr", {"crepes.fr": "v=DMARC1; p=reject"}, "crepes.fr", "", "pass", "none"),
        ("a@crepes.fr", {"crepes.fr": "v=DMARC1; p=reject"}, "", "crepes.fr", "pass", "none"),
        ("a@crepes.fr", {"crepes.fr": "v=DMARC1; p=reject"}, "evil.test", "evil.test", "fail", "reject"),
        ("a@crepes.fr", {"crepes.fr": "v=DMARC1; p=quarantine"}, "", "", "fail", "quarantine"),
        ("a@mail.crepes.fr", {"crepes.fr": "v=DMARC1; p=reject; sp=none"}, "", "", "fail", "none"),
        ("a@mail.crepes.fr", {"crepes.fr": "v=DMARC1; p=reject"}, "", "other.crepes.fr", "pass", "none"),
        ("a@crepes.fr", {"crepes.fr": "v=DMARC1; p=reject; adkim=s"}, "", "mail.crepes.fr", "fail", "reject"),
        ("a@crepes.fr", {"crepes.fr": "v=DMARC1; p=reject; aspf=s"}, "mail.crepes.fr", "", "fail", "reject"),
        ("a@x.fr", {"fr": "v=DMARC1; p=reject; psd=y"}, "y.fr", "", "none", "none"),
        ('"x@evil.test" <a@crepes.fr>', {"crepes.fr": "v=DMARC1; p=reject"}, "evil.test", "", "fail", "reject"),
        ("a@crepes.fr, b@evil.test", {"crepes.fr": "v=DMARC1; p=reject"}, "crepes.fr", "", "none", "none"),
        ("a@evil.test, b@crepes.fr", {"crepes.fr": "v=DMARC1; p=reject"}, "evil.test", "evil.test", "fail", "reject"),
        (
            "a@crepes.fr, b@x.fr",
            {"crepes.fr": "v=DMARC1; p=reject", "x.fr": "v=DMARC1; p=none"},
            "x.fr",
            "",
            "fail",
            "reject",
        ),
        ("friends: a@crepes.fr, b@crepes.fr;", {"crepes.fr": "v=DMARC1; p=reject"}, "evil.test", "", "fail", "reject"),
    ],
)
def test_dmarc(
    author: str, published: dict[str, str], passed_spf: str, passed_dkim: str, expected: str, policy: str
) -> None:
    resolver = FakeResolver({(f"_dmarc.{name}", "TXT"): [f'"{text}"'] for name, text in published.items()})
    checked = spf.Checked("pass" if passed_spf else "fail", passed_spf or "crepes.fr")
    signatures = [dkim.Verdict("pass", passed_dkim)] if passed_dkim else []
    judged = run(dmarc.judge(resolver, fields_of(author), checked, signatures))
    assert (judged.result, judged.policy) == (expected, policy)


def test_no_author_or_two() -> None:
    judged = run(dmarc.judge(FakeResolver(), [], None, []))
    assert (judged.result, judged.policy) == ("permerror", "none"), "as in the chapter's dialogue"
    many = ", ".join(f"a@{number}.test" for number in range(5))
    for fields in (fields_of("a@b.c") * 2, fields_of("nobody"), fields_of("x" * 5000), fields_of(many), fields_of("a@b..c")):
        judged = run(dmarc.judge(FakeResolver(), fields, None, []))
        assert (judged.result, judged.policy) == ("permerror", "reject")


# What an MX does about it


class Here:
    """Of a machine what a check needs."""

    resolver = FakeResolver({("_dmarc.crepes.fr", "TXT"): ['"v=DMARC1; p=reject"']})

    def wall(self) -> float:
        return NOW

    async def offload(self, work: Any, cost: float) -> Any:
        return work()


COUNTS: Counter[tuple[str, str]] = Counter()


def checked(content: bytes, **limits: int) -> Any:
    COUNTS.clear()
    client = Client(Peer(("192.0.2.9", 25), ("192.0.2.1", 4000)), hello="evil.test")
    transaction = Transaction(MailReceived(parse_mailbox("eve@evil.test"), 0), [], [], [])
    machine: Any = Here()
    verifying = Verifying(machine, "mail.hamburger.edu", True, AuthenticationLimits(heads=HeadLimits(**limits)), COUNTS)
    return run(verifying(client, transaction, content))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"From: a@evil.test\r\n\r\nx\r\n", 0),
        (b"From: a@crepes.fr\r\n\r\nx\r\n", 550),
        (b"From: a@evil.test\r\nFrom: a@crepes.fr\r\n\r\nx\r\n", 550),
        (b"From: a@evil.test, a@crepes.fr\r\n\r\nx\r\n", 550),
        (b"Do you like ketchup?\r\n", 0),
        (b"", 0),
        (b"From: a@evil.test\r\n" + b"A: b\r\n" * 9 + b"\r\nx\r\n", 0),
        (b"From: a@evil.test\r\n" + b"A: b\r\n" * 10 + b"From: a@crepes.fr\r\n\r\nx\r\n", 554),
        (b"From: a@evil.test\r\nA: " + b"b" * 1000 + b"\r\nFrom: a@crepes.fr\r\n\r\nx\r\n", 554),
    ],
)
def test_what_is_refused(content: bytes, code: int) -> None:
    verdict = checked(content, fields=10, octets=1000)
    assert (verdict.refusal.code if verdict.refusal else 0) == code
    assert {method for method, _ in COUNTS} >= ({"spf", "dmarc"} if code != 554 else set())
    assert not verdict.content


def test_everybody_reads_the_head_that_was_judged() -> None:
    before, after = b"From: a@evil.test\r\nTo: b\r\n", b"no field\r\nFrom: a@crepes.fr\r\n\r\nx\r\n"
    assert checked(before + after).content == before + b"\r\n" + after
    forged = b"Authentication-Results: mail.hamburger.edu; spf=pass\r\n"
    assert checked(forged + before + b"\r\n" + after).content == before + b"\r\n" + after
    assert checked(before + b"\r\n" + after).content == b""
    assert checked(before).content == b""


# Authentication-Results


def test_results_are_written_and_forged_ones_known() -> None:
    written = results.field(
        "mail.hamburger.edu", spf.Checked("pass", "crepes.fr", "crepes.fr: mx"), "alice@crepes.fr", "mail.crepes.fr",
        [dkim.Verdict("pass", "crepes.fr", "s1")], dmarc.Judged("fail", "crepes.fr", "reject"),
    )  # fmt: skip
    assert written == (
        b'Authentication-Results: mail.hamburger.edu;\r\n\tspf=pass reason="crepes.fr: mx" '
        b"smtp.mailfrom=alice@crepes.fr;\r\n"
        b"\tdkim=pass header.d=crepes.fr header.s=s1;\r\n\tdmarc=fail header.from=crepes.fr policy.dmarc=reject\r\n"
    )
    for text, forged in [
        (b" mail.hamburger.edu; spf=pass", True), (b"\r\n\tMAIL.hamburger.edu 1; spf=pass", True),
        (b" (x) mail.hamburger.edu; none", True), (b" other.test; spf=pass", False),
    ]:  # fmt: skip
        assert (
            results.is_forged(
                Field(b"authentication-results", b"Authentication-Results:" + text + b"\r\n"), "mail.hamburger.edu"
            )
            is forged
        )
