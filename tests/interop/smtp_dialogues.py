"""Dialogues that a server of SMTP is asked, octet for octet, and what ours answers: tests/interop/test_smtp_side_by_side.py.

A step is a line, which gets its CRLF, or octets as they are: each has one reply; a list of lines goes out at once. In the
end QUIT is said, and everything is read that comes until the connection ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SECURE = "(TLS)"
"""STARTTLS and its handshake."""
OWN = "OWN"
"""Stands for a domain of whoever is asked: it knows box@OWN and other@OWN."""

Step = str | bytes | Sequence[str]


@dataclass(frozen=True)
class Row:
    """One dialogue; a row's name says what is odd in it."""

    name: str
    section: str
    """Where it is written what is right."""
    steps: Sequence[Step]
    ours: str
    """The replies after the greeting, as `run` writes them."""
    submission: bool = False
    """Asked where users log in."""


HELLO = "EHLO client.test"
MAIL = "MAIL FROM:<alice@crepes.test>"
RCPT = "RCPT TO:<box@OWN>"
NOBODY = "RCPT TO:<nobody@OWN>"
BEGUN = (HELLO, MAIL, RCPT, "DATA")
HEAD = b"From: <alice@crepes.test>\r\nDate: Fri, 27 Nov 2026 12:00:00 +0000\r\n\r\n"
SECOND = b"MAIL FROM:<evil@crepes.test>\r\nRCPT TO:<box@OWN>\r\nDATA\r\n" + HEAD + b"smuggled\r\n.\r\n"
"""What a receiver that ends the message too early takes for a second one."""


def _mail(name: str, argument: str, ours: str, section: str = "5321 §4.1.1.2") -> Row:
    return Row(name, section, (HELLO, f"MAIL FROM:{argument}"), f"250 {ours}")


def _rcpt(name: str, argument: str, ours: str, section: str = "5321 §4.1.1.3", sender: str = MAIL) -> Row:
    return Row(name, section, (HELLO, sender, f"RCPT TO:{argument}"), f"250 250/2.1.0 {ours}")


def _line(name: str, line: str, ours: str, section: str, before: Sequence[Step] = (HELLO,)) -> Row:
    return Row(name, section, (*before, line), ours)


def _taken(name: str, *steps: Step, ours: str, section: str) -> Row:
    return Row(name, section, (HELLO, MAIL, RCPT, *steps), f"250 250/2.1.0 250/2.1.5 {ours}")


def _data(name: str, octets: bytes, ours: str, section: str) -> Row:
    return Row(name, section, (*BEGUN, octets), f"250 250/2.1.0 250/2.1.5 354 {ours}")


def _smuggled(name: str, ending: bytes, ours: str = "521/5.5.2 end") -> Row:
    return _data(name, HEAD + b"hello" + ending + SECOND, ours, "5321 §4.1.1.4")


def _tls(name: str, *steps: Step, ours: str, section: str = "3207 §4.2") -> Row:
    return Row(name, section, (HELLO, *steps), ours)


def _login(name: str, *steps: Step, ours: str, section: str = "4954 §4") -> Row:
    return Row(name, section, (HELLO, SECURE, HELLO, *steps), f"250 220/2.0.0 250 {ours}", submission=True)


PLAIN = "AGJveABIb3cgYWJvdXQgcGlja2xlcz8="
"""NUL box NUL How about pickles?"""

ORDER = (
    _line("mail-before-hello", MAIL, "503", "5321 §4.1.4", ()),
    _line("rcpt-before-hello", RCPT, "503", "5321 §4.1.4", ()),
    _line("data-before-hello", "DATA", "503", "5321 §4.1.4", ()),
    _line("rset-before-hello", "RSET", "250", "5321 §4.1.4", ()),
    _line("noop-before-hello", "NOOP", "250", "5321 §4.1.4", ()),
    _line("vrfy-before-hello", "VRFY box", "252", "5321 §4.1.4", ()),
    Row("quit-before-hello", "5321 §4.1.4", (), ""),
    Row("mail-after-rset-without-hello", "5321 §4.1.1.5", ("RSET", MAIL), "250 503"),
    _line("rcpt-before-mail", RCPT, "250 503/5.5.1", "5321 §3.3"),
    _line("data-before-mail", "DATA", "250 503/5.5.1", "5321 §3.3"),
    _line("data-without-rcpt", "DATA", "250 250/2.1.0 554/5.5.1", "5321 §3.3", (HELLO, MAIL)),
    Row("data-after-refused-rcpt", "5321 §3.3", (HELLO, MAIL, NOBODY, "DATA"), "250 250/2.1.0 550/5.1.1 554/5.5.1"),
    _line("mail-twice", MAIL, "250 250/2.1.0 503/5.5.1", "5321 §4.1.4", (HELLO, MAIL)),
    _line("mail-after-rcpt", MAIL, "250 250/2.1.0 250/2.1.5 503/5.5.1", "5321 §4.1.4", (HELLO, MAIL, RCPT)),
    Row(
        "mail-again-after-a-refused-mail", "5321 §4.1.4", (HELLO, "MAIL FROM:<a b@c.test>", MAIL), "250 501/5.1.7 250/2.1.0"
    ),
    Row("rset-after-mail", "5321 §4.1.1.5", (HELLO, MAIL, "RSET", RCPT), "250 250/2.1.0 250/2.0.0 503/5.5.1"),
    _taken("rset-after-rcpt", "RSET", "DATA", ours="250/2.0.0 503/5.5.1", section="5321 §4.1.1.5"),
    _taken(
        "rset-after-a-message",
        "DATA",
        HEAD + b"x\r\n.\r\n",
        "RSET",
        MAIL,
        ours="354 2x250/2.0.0 250/2.1.0",
        section="5321 §4.1.1.5",
    ),
    _line("rset-with-an-argument", "RSET now", "250 501/5.5.4", "5321 §4.1.1.5"),
    _taken(
        "rcpt-after-a-message", "DATA", HEAD + b"x\r\n.\r\n", RCPT, ours="354 250/2.0.0 503/5.5.1", section="5321 §4.1.1.4"
    ),
    Row("ehlo-in-a-transaction", "5321 §4.1.4", (HELLO, MAIL, HELLO, RCPT), "250 250/2.1.0 250 503/5.5.1"),
    Row("helo-in-a-transaction", "5321 §4.1.4", (HELLO, MAIL, "HELO client.test", RCPT), "250 250/2.1.0 250 503"),
    Row("ehlo-refused-in-a-transaction", "5321 §4.1.4", (HELLO, MAIL, "EHLO", RCPT), "250 250/2.1.0 501/5.5.4 250/2.1.5"),
    Row(
        "noop-and-vrfy-in-a-transaction",
        "5321 §4.1.4",
        (HELLO, MAIL, "NOOP", "VRFY box", RCPT),
        "250 250/2.1.0 250/2.0.0 252/2.7.0 250/2.1.5",
    ),
    Row("quit-in-a-transaction", "5321 §4.1.1.10", (HELLO, MAIL, RCPT), "250 250/2.1.0 250/2.1.5"),
    Row("quit-with-an-argument", "5321 §4.1.1.10", (HELLO, "QUIT now"), "250 221/2.0.0 end"),
    _taken(
        "two-messages",
        "DATA",
        HEAD + b"x\r\n.\r\n",
        MAIL,
        RCPT,
        "DATA",
        HEAD + b"y\r\n.\r\n",
        ours="354 250/2.0.0 250/2.1.0 250/2.1.5 354 250/2.0.0",
        section="5321 §3.3",
    ),
    _line("noop-with-an-argument", "NOOP how are you", "250 250/2.0.0", "5321 §4.1.1.9"),
    _line("help", "HELP", "250 214/2.0.0", "5321 §4.1.1.8"),
    _line("help-with-an-argument", "HELP MAIL", "250 214/2.0.0", "5321 §4.1.1.8"),
    _line("vrfy-a-user", "VRFY box@OWN", "250 252/2.7.0", "5321 §3.5.3"),
    _line("vrfy-nobody", "VRFY nobody@OWN", "250 252/2.7.0", "5321 §7.3"),
    _line("vrfy-without-an-argument", "VRFY", "250 501/5.5.4", "5321 §4.1.1.6"),
    _line("expn", "EXPN list", "250 502/5.7.0", "5321 §3.5.2"),
    _line("expn-without-an-argument", "EXPN", "250 501/5.5.4", "5321 §4.1.1.7"),
    _line("unknown-command", "FOO bar", "250 500/5.5.2", "5321 §4.2.4"),
    _line("empty-line", "", "250 500/5.5.2", "5321 §4.2.4"),
    _line("turn", "TURN", "250 502/5.5.1", "5321 §F.1"),
    _line("send", "SEND FROM:<alice@crepes.test>", "250 502/5.5.1", "5321 §F.6"),
    _line("etrn", "ETRN crepes.test", "250 502/5.5.1", "1985 §5"),
    _line("xclient", "XCLIENT NAME=mail.crepes.test", "250 502/5.5.1", "5321 §4.2.4"),
    Row(
        "lower-case",
        "5321 §2.4",
        ("ehlo client.test", "mail from:<alice@crepes.test>", "rcpt to:<box@OWN>"),
        "250 250/2.1.0 250/2.1.5",
    ),
    _line("space-before-a-command", " NOOP", "250 500/5.5.2", "5321 §4.1.1"),
    _line("space-after-a-command", "NOOP  ", "250 250/2.0.0", "5321 §4.1.1"),
    _line("tab-in-place-of-a-space", "MAIL\tFROM:<alice@crepes.test>", "250 250/2.1.0", "5321 §4.1.1"),
    Row("get", "5321 §4.2.4", (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",), "521 end"),
    Row(
        "post-of-a-browser",
        "5321 §4.2.4",
        (b"POST / HTTP/1.1\r\nHost: x\r\n" + MAIL.encode() + b"\r\n",),
        "521 end",
    ),
)

NAMES = (
    _line("helo", "HELO client.test", "250", "5321 §4.1.1.1", ()),
    _line("ehlo-without-a-name", "EHLO", "501", "5321 §4.1.1.1", ()),
    _line("helo-without-a-name", "HELO", "501", "5321 §4.1.1.1", ()),
    _line("ehlo-two-words", "EHLO client.test there", "501", "5321 §4.1.1.1", ()),
    _line("ehlo-a-literal", "EHLO [192.0.2.1]", "250", "5321 §4.1.3", ()),
    _line("ehlo-a-literal-of-6", "EHLO [IPv6:2001:db8::1]", "250", "5321 §4.1.3", ()),
    _line("ehlo-no-literal", "EHLO [999.1.1.1]", "501", "5321 §4.1.3", ()),
    _line("ehlo-an-open-literal", "EHLO [192.0.2.1", "501", "5321 §4.1.3", ()),
    _line("ehlo-a-bare-address", "EHLO 192.0.2.1", "250", "5321 §4.1.1.1", ()),
    _line("ehlo-one-label", "EHLO client", "250", "5321 §4.1.1.1", ()),
    _line("ehlo-an-underscore", "EHLO my_pc", "250", "5321 §4.1.1.1", ()),
    _line("ehlo-a-final-dot", "EHLO client.test.", "250", "5321 §4.1.1.1", ()),
    _line("ehlo-an-address", "EHLO <alice@crepes.test>", "501", "5321 §4.1.1.1", ()),
    _line("ehlo-not-ascii", "EHLO b\xc3\xbccher.test", "501", "6531 §3.7.1", ()),
    _line("ehlo-controls", "EHLO a\x07b", "500", "5321 §4.1.1.1", ()),
    _line("ehlo-300-octets", f"EHLO {'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 56}", "501", "5321 §4.5.3.1.2", ()),
)

SENDERS = (
    _mail("null-sender", "<>", "250/2.1.0", "5321 §4.5.5"),
    _mail("sender-space-before", " <alice@crepes.test>", "250/2.1.0"),
    _mail("sender-without-brackets", "alice@crepes.test", "250/2.1.0"),
    _mail("sender-open-bracket", "<alice@crepes.test", "501/5.1.7"),
    _mail("sender-closed-bracket-alone", "alice@crepes.test>", "501/5.5.4"),
    _mail("sender-nothing", "", "501/5.5.4"),
    _line("sender-without-a-colon", "MAIL FROM <alice@crepes.test>", "250 501/5.5.4", "5321 §4.1.1.2"),
    _line("sender-without-from", "MAIL <alice@crepes.test>", "250 501/5.5.4", "5321 §4.1.1.2"),
    _mail("sender-with-a-name", "Alice <alice@crepes.test>", "501/5.1.7"),
    _mail("sender-without-a-domain", "<alice>", "501/5.1.7"),
    _mail("sender-with-an-empty-domain", "<alice@>", "501/5.1.7"),
    _mail("sender-with-an-empty-label", "<alice@crepes..test>", "501/5.1.7"),
    _mail("sender-with-two-ats", "<alice@b@crepes.test>", "501/5.1.7"),
    _mail("sender-with-a-source-route", "<@a.test,@b.test:alice@crepes.test>", "250/2.1.0", "5321 §C"),
    _mail("sender-local-part-of-64", f"<{'a' * 64}@crepes.test>", "250/2.1.0", "5321 §4.5.3.1.1"),
    _mail("sender-local-part-of-65", f"<{'a' * 65}@crepes.test>", "250/2.1.0", "5321 §4.5.3.1.1"),
    _mail("sender-label-of-64", f"<alice@{'a' * 64}.test>", "501/5.1.7", "5321 §2.3.5"),
    _mail("sender-domain-of-300", f"<alice@{'a.' * 150}test>", "501/5.1.7", "5321 §4.5.3.1.2"),
    _mail("sender-domain-begins-with-a-hyphen", "<alice@-crepes.test>", "501/5.1.7", "5321 §2.3.5"),
    _mail("sender-domain-with-an-underscore", "<alice@my_pc.test>", "501/5.1.7", "5321 §2.3.5"),
    _mail("sender-at-a-literal", "<alice@[192.0.2.1]>", "250/2.1.0", "5321 §4.1.3"),
    _mail("sender-at-a-bare-address", "<alice@192.0.2.1>", "501/5.1.7", "5321 §4.1.3"),
    _mail("sender-in-quotes", '<"alice of crepes"@crepes.test>', "250/2.1.0", "5321 §4.1.2"),
    _mail("sender-in-quotes-with-a-control", '<"a\x01b"@crepes.test>', "500/5.5.2", "5321 §4.1.2"),
    _mail("sender-with-dots-at-its-ends", "<.alice.@crepes.test>", "501/5.1.7", "5321 §4.1.2"),
    _mail("sender-not-ascii", "<j\xc3\xbcrgen@crepes.test>", "553/5.6.7", "6531 §3.1"),
    _mail("sender-not-ascii-and-said-so", "<j\xc3\xbcrgen@crepes.test> SMTPUTF8", "250/2.1.0", "6531 §3.1"),
    _mail("sender-latin-1", "<j\xfcrgen@crepes.test> SMTPUTF8", "500/5.5.2", "6531 §3.3"),
)

RECIPIENTS = (
    _rcpt("recipient-nobody", "<nobody@OWN>", "550/5.1.1"),
    _rcpt("recipient-null", "<>", "501/5.1.3"),
    _rcpt("recipient-postmaster", "<postmaster>", "250/2.1.5", "5321 §4.5.1"),
    _rcpt("recipient-postmaster-in-capitals", "<POSTMASTER>", "250/2.1.5", "5321 §4.5.1"),
    _rcpt("recipient-postmaster-of-the-domain", "<Postmaster@OWN>", "250/2.1.5", "5321 §4.5.1"),
    _rcpt("recipient-without-a-domain", "<box>", "501/5.1.3"),
    _rcpt("recipient-in-capitals", "<BOX@OWN>", "250/2.1.5", "5321 §2.4"),
    _rcpt("recipient-with-a-detail", "<box+lunch@OWN>", "250/2.1.5", "5233 §1"),
    _rcpt("recipient-space-before", " <box@OWN>", "250/2.1.5"),
    _rcpt("recipient-without-brackets", "box@OWN", "250/2.1.5"),
    _line("recipient-said-as-from", "RCPT FROM:<box@OWN>", "250 250/2.1.0 501/5.5.4", "5321 §4.1.1.3", (HELLO, MAIL)),
    _rcpt("recipient-with-a-comment", "<box(lunch)@OWN>", "501/5.1.3", "5321 §4.1.2"),
    _rcpt("recipient-in-quotes", '<"box"@OWN>', "250/2.1.5", "5321 §4.1.2"),
    _rcpt("recipient-in-quotes-with-pairs", '<"\\b\\o\\x"@OWN>', "250/2.1.5", "5321 §4.1.2"),
    _rcpt("recipient-source-route-to-us", "<@OWN:box@OWN>", "250/2.1.5", "5321 §C"),
    _rcpt("recipient-final-dot", "<box@OWN.>", "250/2.1.5", "5321 §2.3.5"),
    Row("recipient-twice", "5321 §4.1.1.3", (HELLO, MAIL, RCPT, RCPT), "250 250/2.1.0 2x250/2.1.5"),
    Row(
        "recipients-100",
        "5321 §4.5.3.1.8",
        (HELLO, MAIL, [RCPT] * 100, "DATA", HEAD + b"x\r\n.\r\n"),
        "250 250/2.1.0 100x250/2.1.5 354 250/2.0.0",
    ),
    Row(
        "recipients-1001",
        "5321 §4.5.3.1.10",
        (HELLO, MAIL, [RCPT] * 1001, "DATA", HEAD + b"x\r\n.\r\n"),
        "250 250/2.1.0 1000x250/2.1.5 452/4.5.3 354 250/2.0.0",
    ),
)

RELAYS = (
    _rcpt("relay", "<eve@elsewhere.test>", "550/5.7.1", "2505 §2.1"),
    _rcpt("relay-null-sender", "<eve@elsewhere.test>", "550/5.7.1", "2505 §2.1", "MAIL FROM:<>"),
    _rcpt("relay-own-domain-as-sender", "<eve@elsewhere.test>", "550/5.7.1", "2505 §2.1", "MAIL FROM:<box@OWN>"),
    _rcpt("relay-own-name-as-sender", "<eve@elsewhere.test>", "550/5.7.1", "2505 §2.1", "MAIL FROM:<root@mail.OWN>"),
    _rcpt("relay-localhost-as-sender", "<eve@elsewhere.test>", "550/5.7.1", "2505 §2.1", "MAIL FROM:<root@localhost>"),
    _rcpt("relay-literal-as-sender", "<eve@elsewhere.test>", "550/5.7.1", "2505 §2.1", "MAIL FROM:<root@[127.0.0.1]>"),
    _rcpt("relay-percent", "<eve%elsewhere.test@OWN>", "550/5.1.1", "5321 §2.3.11"),
    _rcpt("relay-percent-at-a-literal", "<eve%elsewhere.test@[127.0.0.1]>", "550/5.7.1", "5321 §2.3.11"),
    _rcpt("relay-bang", "<elsewhere.test!eve@OWN>", "550/5.1.1", "5321 §2.3.11"),
    _rcpt("relay-bang-alone", "<elsewhere.test!eve>", "501/5.1.3", "5321 §2.3.11"),
    _rcpt("relay-source-route", "<@OWN:eve@elsewhere.test>", "550/5.7.1", "5321 §C"),
    _rcpt("relay-two-source-routes", "<@OWN,@mail.OWN:eve@elsewhere.test>", "550/5.7.1", "5321 §C"),
    _rcpt("relay-quoted", '<"eve@elsewhere.test"@OWN>', "550/5.1.1", "5321 §2.3.11"),
    _rcpt("relay-quoted-percent", '<"eve%elsewhere.test"@OWN>', "550/5.1.1", "5321 §2.3.11"),
    _rcpt("relay-quoted-alone", '<"eve@elsewhere.test">', "501/5.1.3", "5321 §2.3.11"),
    _rcpt("relay-two-ats", "<eve@elsewhere.test@OWN>", "501/5.1.3", "5321 §2.3.11"),
    _rcpt("relay-percent-without-a-domain", "<eve%elsewhere.test>", "501/5.1.3", "5321 §2.3.11"),
    _rcpt("relay-at-a-literal", "<eve@[192.0.2.1]>", "550/5.7.1", "5321 §4.1.3"),
    _rcpt("relay-route-in-brackets-of-its-own", "<box@OWN> <eve@elsewhere.test>", "501/5.5.4", "5321 §4.1.1.3"),
)

PARAMETERS = (
    _mail("parameter-unknown", "<alice@crepes.test> FOO=1", "555/5.5.4", "5321 §4.1.1.11"),
    _rcpt("parameter-unknown-of-rcpt", "<box@OWN> FOO=1", "555/5.5.4", "5321 §4.1.1.11"),
    Row("parameter-after-helo", "5321 §4.1.1.11", ("HELO client.test", f"{MAIL} SIZE=10"), "250 555"),
    _mail("parameter-without-a-space", "<alice@crepes.test>SIZE=10", "501/5.5.4", "5321 §4.1.2"),
    _mail("parameter-two-equals", "<alice@crepes.test> SIZE=1=2", "501/5.5.4", "5321 §4.1.2"),
    _mail("size", "<alice@crepes.test> SIZE=1000", "250/2.1.0", "1870 §6.1"),
    _mail("size-too-large", "<alice@crepes.test> SIZE=99999999999", "552/5.3.4", "1870 §6.1"),
    _mail("size-of-30-digits", f"<alice@crepes.test> SIZE={'9' * 30}", "501/5.5.4", "1870 §3"),
    _mail("size-no-number", "<alice@crepes.test> SIZE=x", "501/5.5.4", "1870 §3"),
    _mail("size-negative", "<alice@crepes.test> SIZE=-1", "501/5.5.4", "1870 §3"),
    _mail("size-without-a-value", "<alice@crepes.test> SIZE", "501/5.5.4", "1870 §3"),
    _mail("size-twice", "<alice@crepes.test> SIZE=10 SIZE=20", "501/5.5.4", "5321 §4.1.1.11"),
    _mail("body-8bitmime", "<alice@crepes.test> BODY=8BITMIME", "250/2.1.0", "6152 §3"),
    _mail("body-unknown", "<alice@crepes.test> BODY=9BIT", "501/5.5.4", "6152 §3"),
    _mail("body-without-a-value", "<alice@crepes.test> BODY", "501/5.5.4", "6152 §3"),
    _mail("body-in-lower-case", "<alice@crepes.test> body=8bitmime", "250/2.1.0", "6152 §3"),
    _mail("smtputf8-with-a-value", "<alice@crepes.test> SMTPUTF8=yes", "501/5.5.4", "6531 §3.4"),
    _mail("ret-full", "<alice@crepes.test> RET=FULL ENVID=abc", "250/2.1.0", "3461 §4.3"),
    _mail("ret-unknown", "<alice@crepes.test> RET=ALL", "501/5.5.4", "3461 §4.3"),
    _mail("ret-twice", "<alice@crepes.test> RET=FULL RET=HDRS", "501/5.5.4", "3461 §4.3"),
    _mail("envid-no-xtext", "<alice@crepes.test> ENVID=+zz", "501/5.5.4", "3461 §4.4"),
    _mail("envid-line-end", "<alice@crepes.test> ENVID=a+0D+0Ab", "250/2.1.0", "3461 §4.4"),
    _mail("envid-empty", "<alice@crepes.test> ENVID=", "501/5.5.4", "3461 §4.4"),
    _rcpt("notify", "<box@OWN> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;box@OWN", "250/2.1.5", "3461 §4.1"),
    _rcpt("notify-unknown", "<box@OWN> NOTIFY=SOMETIMES", "501/5.5.4", "3461 §4.1"),
    _rcpt("notify-never-and-more", "<box@OWN> NOTIFY=NEVER,FAILURE", "501/5.5.4", "3461 §4.1"),
    _rcpt("notify-twice", "<box@OWN> NOTIFY=NEVER NOTIFY=FAILURE", "501/5.5.4", "3461 §4.1"),
    _rcpt("orcpt-without-a-type", "<box@OWN> ORCPT=box@OWN", "501/5.5.4", "3461 §4.2"),
    _rcpt("orcpt-line-end", "<box@OWN> ORCPT=rfc822;a+0D+0Ab@c.test", "250/2.1.5", "3461 §4.2"),
    _mail("auth-parameter-without-a-log-in", "<alice@crepes.test> AUTH=<>", "555/5.5.4", "4954 §5"),
)

LINES = (
    _line("line-of-512", f"NOOP {'a' * 505}", "250 250/2.0.0", "5321 §4.5.3.1.4"),
    _line("line-of-1000", f"NOOP {'a' * 993}", "250 250/2.0.0", "5321 §4.5.3.1.4"),
    _line("line-of-5000", f"NOOP {'a' * 4993}", "250 500/5.5.2", "5321 §4.5.3.1.9"),
    _line("line-of-20000", f"NOOP {'a' * 19993}", "250 500/5.5.2", "5321 §4.5.3.1.9"),
    _line("nul-in-a-command", "NOOP a\0b", "250 500/5.5.2", "5321 §4.1.1"),
    _line("nul-in-an-address", "MAIL FROM:<ali\0ce@crepes.test>", "250 500/5.5.2", "5321 §4.1.2"),
    _line("eight-bits-in-a-command", "NOOP \xff\xfe", "250 500/5.5.2", "5321 §2.4"),
    _line("eight-bits-in-a-verb", "N\xffOP", "250 500/5.5.2", "5321 §2.4"),
    Row("bare-lf-after-a-command", "5321 §2.3.8", (HELLO, b"NOOP\nNOOP\r\n"), "250 521/5.5.2 end"),
    Row("bare-lf-after-ehlo", "5321 §2.3.8", (b"EHLO client.test\n",), "521 end"),
    Row("bare-cr-in-a-command", "5321 §2.3.8", (HELLO, b"NOOP a\rb\r\n"), "250 521/5.5.2 end"),
    Row(
        "commands-between-bare-line-feeds",
        "5321 §2.3.8",
        (HELLO, MAIL.encode() + b"\nRCPT TO:<box@OWN>\nDATA\nx\n.\n"),
        "250 521/5.5.2 end",
    ),
)

CONTENT = (
    _line("data-with-an-argument", "DATA now", "250 250/2.1.0 250/2.1.5 501/5.5.4", "5321 §4.1.1.4", (HELLO, MAIL, RCPT)),
    _data("message-empty", b".\r\n", "250/2.0.0", "5321 §4.1.1.4"),
    _data("message-without-a-header", b"Do you like ketchup?\r\n.\r\n", "250/2.0.0", "5321 §4.1.1.4"),
    _data("dot-stuffing", HEAD + b"..\r\n...\r\n.x\r\n.\r\n", "250/2.0.0", "5321 §4.5.2"),
    _data("dot-and-a-space", HEAD + b". \r\n.\t\r\nx.\r\n.\r\n", "250/2.0.0", "5321 §4.5.2"),
    _data("text-line-of-998", HEAD + b"x" * 998 + b"\r\n.\r\n", "250/2.0.0", "5321 §4.5.3.1.6"),
    _data("text-line-of-5000", HEAD + b"x" * 5000 + b"\r\n.\r\n", "250/2.0.0", "5321 §4.5.3.1.6"),
    _data("text-line-of-100000", HEAD + b"x" * 100_000 + b"\r\n.\r\n", "554/5.6.0", "5321 §4.5.3.1.9"),
    _data("nul-in-a-message", HEAD + b"x\0y\r\n.\r\n", "250/2.0.0", "5321 §2.3.1"),
    _data("eight-bits-in-a-message", HEAD + b"\xff\xfe\r\n.\r\n", "250/2.0.0", "6152 §3"),
    _data(
        "received-100",
        b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 101 + HEAD + b"x\r\n.\r\n",
        "554/5.4.6",
        "5321 §6.3",
    ),
    _data("rset-as-text", HEAD + b"RSET\r\nQUIT\r\n.\r\n", "250/2.0.0", "5321 §4.1.1.4"),
    _taken("message-never-ended", "DATA", HEAD + b"x\r\n", ours="354 - open", section="5321 §4.1.1.4"),
)

SMUGGLED = (
    _smuggled("smuggled-lf-dot-lf", b"\n.\n"),
    _smuggled("smuggled-lf-dot-crlf", b"\n.\r\n"),
    _smuggled("smuggled-crlf-dot-lf", b"\r\n.\n"),
    _smuggled("smuggled-crlf-dot-cr", b"\r\n.\r"),
    _smuggled("smuggled-cr-dot-crlf", b"\r.\r\n"),
    _smuggled("smuggled-cr-dot-cr", b"\r.\r"),
    _smuggled("smuggled-cr-dot-lf", b"\r.\n"),
    _smuggled("smuggled-lf-dot-cr", b"\n.\r"),
    _smuggled("smuggled-lf-cr-dot-crlf", b"\n\r.\r\n"),
    _smuggled("smuggled-crcrlf-dot-crlf", b"\r\r\n.\r\n"),
    _smuggled("smuggled-crlf-dot-crcrlf", b"\r\n.\r\r\n"),
    _smuggled("smuggled-lf-lf-dot-crlf", b"\n\n.\r\n"),
    _smuggled("smuggled-crlf-nul-dot-crlf", b"\r\n\0.\r\n", "250/2.0.0"),
    _smuggled("smuggled-crlf-dot-nul-crlf", b"\r\n.\0\r\n", "250/2.0.0"),
    _smuggled("smuggled-cr-nul-lf-dot-crlf", b"\r\0\n.\r\n"),
    _smuggled("smuggled-crlf-dot-cr-nul-lf", b"\r\n.\r\0\n"),
    _smuggled("smuggled-crlf-dot-space-crlf", b"\r\n. \r\n", "250/2.0.0"),
    _smuggled("smuggled-vt-dot-crlf", b"\v.\r\n", "250/2.0.0"),
    _smuggled("smuggled-next-line-dot-next-line", b"\xc2\x85.\xc2\x85", "250/2.0.0"),
)

PIPELINES = (
    Row(
        "pipelined",
        "2920 §3.1",
        (HELLO, [MAIL, RCPT, "DATA"], HEAD + b"x\r\n.\r\n"),
        "250 250/2.1.0 250/2.1.5 354 250/2.0.0",
    ),
    Row(
        "pipelined-with-a-refused-recipient",
        "2920 §3.1",
        (HELLO, [MAIL, NOBODY, RCPT, "DATA"], HEAD + b"x\r\n.\r\n"),
        "250 250/2.1.0 550/5.1.1 250/2.1.5 354 250/2.0.0",
    ),
    Row(
        "pipelined-and-all-refused",
        "2920 §3.1",
        (HELLO, [MAIL, NOBODY, "DATA"], b".\r\n"),
        "250 250/2.1.0 550/5.1.1 554/5.5.1 500/5.5.2",
    ),
    Row(
        "pipelined-mail-refused",
        "2920 §3.1",
        (HELLO, ["MAIL FROM:<a b@c.test>", RCPT, "DATA"], b".\r\n"),
        "250 501/5.1.7 2x503/5.5.1 500/5.5.2",
    ),
    Row(
        "pipelined-rset",
        "2920 §3.1",
        (HELLO, [MAIL, RCPT, "RSET", MAIL, RCPT]),
        "250 250/2.1.0 250/2.1.5 250/2.0.0 250/2.1.0 250/2.1.5",
    ),
    _taken(
        "pipelined-next-message",
        "DATA",
        [f"{HEAD.decode()}x\r\n.", MAIL, RCPT],
        ours="354 250/2.0.0 250/2.1.0 250/2.1.5",
        section="2920 §3.1",
    ),
    Row("pipelined-after-ehlo", "2920 §3.1", ([HELLO, MAIL],), "250 250/2.1.0"),
    _taken("content-with-data", f"DATA\r\n{HEAD.decode()}x\r\n.", ours="354 250/2.0.0", section="2920 §3.1"),
)

CHUNKS = (
    _taken("bdat", b"BDAT 6 LAST\r\na: b\r\n", ours="250/2.0.0", section="3030 §2"),
    _taken("bdat-in-two", b"BDAT 6\r\na: b\r\n", b"BDAT 2 LAST\r\n\r\n", ours="2x250/2.0.0", section="3030 §2"),
    _taken("bdat-of-nothing", b"BDAT 0 LAST\r\n", ours="250/2.0.0", section="3030 §2"),
    Row(
        "bdat-without-rcpt",
        "3030 §2",
        (HELLO, MAIL, b"BDAT 6 LAST\r\nRSET\r\n", "NOOP"),
        "250 250/2.1.0 503/5.5.1 250/2.0.0",
    ),
    Row("bdat-without-mail", "3030 §2", (HELLO, b"BDAT 6 LAST\r\nRSET\r\n", "NOOP"), "250 503/5.5.1 250/2.0.0"),
    _taken("bdat-of-no-size", b"BDAT x\r\n", ours="521/5.5.4 end", section="3030 §2"),
    _taken("bdat-of-a-negative-size", b"BDAT -6 LAST\r\n", ours="521/5.5.4 end", section="3030 §2"),
    _taken("data-after-bdat", b"BDAT 6\r\na: b\r\n", "DATA", ours="250/2.0.0 503/5.5.1", section="3030 §2"),
    _taken(
        "rset-after-bdat",
        b"BDAT 6\r\na: b\r\n",
        "RSET",
        b"BDAT 6 LAST\r\na: b\r\n",
        ours="2x250/2.0.0 503/5.5.1",
        section="3030 §2",
    ),
    _taken("bdat-with-a-dot", b"BDAT 9 LAST\r\nx\r\n.\r\ny\r\n", ours="250/2.0.0", section="3030 §2"),
    _taken("bdat-bare-lf", b"BDAT 4 LAST\r\na\nb\n", ours="554/5.6.0", section="3030 §2"),
    Row(
        "binarymime-by-data",
        "3030 §3",
        (HELLO, f"{MAIL} BODY=BINARYMIME", RCPT, "DATA"),
        "250 250/2.1.0 250/2.1.5 503/5.5.1",
    ),
    _taken("bdat-too-large", b"BDAT 99999999999999999999999\r\n", ours="521/5.5.4 end", section="3030 §2"),
)

TLS = (
    _tls("starttls", SECURE, HELLO, ours="250 220/2.0.0 250"),
    _tls("starttls-with-an-argument", "STARTTLS now", ours="250 501/5.5.4", section="3207 §4"),
    _tls("starttls-twice", SECURE, HELLO, "STARTTLS", ours="250 220/2.0.0 250 503/5.5.1"),
    _tls("starttls-forgets-the-name", SECURE, MAIL, ours="250 220/2.0.0 503"),
    _tls("starttls-in-a-transaction", MAIL, "STARTTLS", ours="250 250/2.1.0 503/5.5.1", section="3207 §4.2"),
    _tls(
        "starttls-with-commands-after-it",
        b"STARTTLS\r\n" + MAIL.encode() + b"\r\n",
        ours="250 521/5.5.1 end",
        section="3207 §6",
    ),
    Row("starttls-before-ehlo", "3207 §4", ("STARTTLS",), "220 end"),
)

LOGINS = (
    Row("auth-in-the-clear", "4954 §4", (HELLO, f"AUTH PLAIN {PLAIN}"), "250 538/5.7.11", submission=True),
    _login("auth-plain", f"AUTH PLAIN {PLAIN}", ours="235/2.7.0"),
    _login("auth-plain-asked-for", "AUTH PLAIN", PLAIN, ours="334 235/2.7.0"),
    _login("auth-in-lower-case", f"auth plain {PLAIN}", ours="235/2.7.0"),
    _login("auth-login", "AUTH LOGIN", "Ym94", "SG93IGFib3V0IHBpY2tsZXM/", ours="2x334 235/2.7.0"),
    _login("auth-login-with-the-name", "AUTH LOGIN Ym94", "SG93IGFib3V0IHBpY2tsZXM/", ours="334 235/2.7.0"),
    _login("auth-wrong-password", "AUTH PLAIN AGJveAB4", ours="535/5.7.8", section="4954 §6"),
    _login("auth-nobody", "AUTH PLAIN AG5vYm9keQB4", ours="535/5.7.8", section="4954 §6"),
    _login(
        "auth-plain-for-somebody-else",
        "AUTH PLAIN b3RoZXIAYm94AEhvdyBhYm91dCBwaWNrbGVzPw==",
        ours="535/5.7.8",
        section="4616 §2",
    ),
    _login("auth-without-a-mechanism", "AUTH", ours="501/5.5.4"),
    _login("auth-unknown-mechanism", "AUTH FOO", ours="504/5.5.4"),
    _login("auth-no-base64", "AUTH PLAIN !!!", ours="501/5.5.2"),
    _login("auth-no-base64-in-the-answer", "AUTH PLAIN", "!!!", ours="334 501/5.5.2"),
    _login("auth-empty-answer", "AUTH PLAIN =", ours="501/5.5.2"),
    _login("auth-plain-without-nul", "AUTH PLAIN Ym94", ours="501/5.5.2"),
    _login("auth-given-up", "AUTH PLAIN", "*", "NOOP", ours="334 501/5.7.0 250/2.0.0"),
    _login("auth-twice", f"AUTH PLAIN {PLAIN}", f"AUTH PLAIN {PLAIN}", ours="235/2.7.0 503/5.5.1"),
    _login(
        "auth-in-a-transaction",
        f"AUTH PLAIN {PLAIN}",
        "MAIL FROM:<box@OWN>",
        f"AUTH PLAIN {PLAIN}",
        "RSET",
        ours="235/2.7.0 250/2.1.0 503/5.5.1 250/2.0.0",
    ),
    _login("auth-line-of-20000", f"AUTH PLAIN {'A' * 20000}", ours="500/5.5.6"),
    _login(
        "auth-parameter",
        f"AUTH PLAIN {PLAIN}",
        "MAIL FROM:<box@OWN> AUTH=box+40x.test",
        ours="235/2.7.0 250/2.1.0",
        section="4954 §5",
    ),
    _login(
        "relay-after-a-log-in",
        f"AUTH PLAIN {PLAIN}",
        "MAIL FROM:<box@OWN>",
        "RCPT TO:<eve@elsewhere.test>",
        ours="235/2.7.0 250/2.1.0 250/2.1.5",
        section="6409 §4.3",
    ),
    _login(
        "relay-by-percent-after-a-log-in",
        f"AUTH PLAIN {PLAIN}",
        "MAIL FROM:<box@OWN>",
        "RCPT TO:<eve%elsewhere.test@OWN>",
        ours="235/2.7.0 250/2.1.0 550/5.1.1",
        section="5321 §F.2",
    ),
)

FAMILIES = {
    "order of commands": ORDER,
    "HELO and EHLO": NAMES,
    "MAIL": SENDERS,
    "RCPT": RECIPIENTS,
    "relaying": RELAYS,
    "parameters": PARAMETERS,
    "lines": LINES,
    "messages": CONTENT,
    "smuggling": SMUGGLED,
    "PIPELINING": PIPELINES,
    "CHUNKING": CHUNKS,
    "STARTTLS": TLS,
    "AUTH": LOGINS,
}
ROWS: Sequence[Row] = [row for rows in FAMILIES.values() for row in rows]
