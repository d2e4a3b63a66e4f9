"""SASL: RFC 7677's exchange, every mechanism against its own client, refusals, and what nobody may do."""

from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack.mail import sasl
from netstack.mail.prep import saslprep
from netstack.mail.sasl import Challenge, Failure, Lookup, Success, Verify
from netstack.mail.scram import ScramKeys
from netstack.sansio import LocalProtocolError

KEYS = ScramKeys.make("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
BINDINGS = {"tls-exporter": b"e" * 32, "tls-server-end-point": b"p" * 32}


def test_the_exchange_of_rfc_7677() -> None:
    server = sasl.server("SCRAM-SHA-256", SERVER_NONCE)
    client = sasl.client("SCRAM-SHA-256", "user", "pencil", NONCE)
    first = client.first()
    assert first == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert server.begin(first) == Lookup("user")
    challenge = server.keys(KEYS)
    assert challenge == Challenge(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    final = client.respond(challenge.data)
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    proof = server.respond(final)
    assert proof == Challenge(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert not client.finished
    assert client.respond(proof.data) == b""
    assert client.finished
    assert server.respond(b"") == Success("user")


def talk(server: sasl.Server, client: sasl.Client, name: str, password: str, keys: ScramKeys) -> Any:
    """The last step of an exchange, as a role carries it out."""
    step = server.begin(client.first())
    while True:
        match step:
            case Challenge(data):
                step = server.respond(client.respond(data))
            case Verify():
                step = server.verified((step.name, step.password) == (name, password))
            case Lookup():
                step = server.keys(keys if step.name == name else ScramKeys.of_nobody(step.name, b"secret"))
            case _:
                return step


@pytest.mark.parametrize("kind", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize(
    ("name", "password"), [("bob", "hungry"), ("bøb@x.test", "pass\xa0wörd"), ("a=b,c", "x,y=z"), ("I\u00adX", "\u2168")]
)
def test_a_server_and_a_client(kind: str, right: bool, name: str, password: str) -> None:
    keys = ScramKeys.make(password, b"salt", 4096)
    server = sasl.server(kind.lower(), "server-nonce", BINDINGS.get)
    client = sasl.client(kind, name, password if right else "wrong", "nonce", binding=BINDINGS.get, offered=[kind])
    if kind == "SCRAM-SHA-256":
        client = sasl.client(kind, name, password if right else "wrong", "nonce")
    step = talk(server, client, saslprep(name), password, keys)
    assert (step == Success(saslprep(name))) is right
    assert isinstance(step, Failure) is not right


def test_nobody_s_keys_are_the_same_each_time_and_fit_no_proof() -> None:
    made = ScramKeys.of_nobody("carol", b"secret")
    assert str(made) == str(ScramKeys.of_nobody("carol", b"secret")) != str(ScramKeys.of_nobody("dave", b"secret"))
    client = sasl.client("SCRAM-SHA-256", "carol", "any", "nonce")
    assert isinstance(talk(sasl.server("SCRAM-SHA-256", "n"), client, "bob", "x", KEYS), Failure)


def test_an_initial_response_may_come_later() -> None:
    for kind in ("PLAIN", "SCRAM-SHA-256"):
        server = sasl.server(kind, "n")
        assert server.begin() == Challenge(b"")
        assert isinstance(server.respond(sasl.client(kind, "bob", "x", "c").first() or b""), Verify | Lookup)
    server = sasl.server("LOGIN", "n")
    assert server.begin() == Challenge(b"Username:")
    assert server.respond(b"bob") == Challenge(b"Password:")
    assert server.respond(b"hungry") == Verify("bob", "hungry")
    server = sasl.server("LOGIN", "n")
    assert server.begin(b"bob") == Challenge(b"Password:"), "some clients send the name with the command"


def test_acting_for_somebody_is_told_to_the_role() -> None:
    client = sasl.client("SCRAM-SHA-256", "user", "pencil", "nonce", authorization="a,b=c")
    assert talk(sasl.server("SCRAM-SHA-256", "n"), client, "user", "pencil", KEYS) == Success("user", "a,b=c")
    server = sasl.server("PLAIN", "n")
    step = server.begin(b"boss\0user\0pencil")
    assert step == Verify("user", "pencil", "boss")
    assert server.verified(True) == Success("user", "boss")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("PLAIN", b"user"), ("PLAIN", b"a\0b"), ("PLAIN", b"a\0b\0c\0d"), ("PLAIN", b"\0\0secret"), ("PLAIN", b"\0user\0"),
        ("PLAIN", b"\0us\xffer\0x"), ("PLAIN", b"\0us\x07er\0x"), ("PLAIN", b"x" * 5000), ("LOGIN", b""), ("LOGIN", b"\xff"),
        ("SCRAM-SHA-256", b""), ("SCRAM-SHA-256", b"n,,n=user"), ("SCRAM-SHA-256", b"x,,n=user,r=abc"),
        ("SCRAM-SHA-256", b"n,user,n=user,r=abc"), ("SCRAM-SHA-256", b"n,,m=x,n=user,r=abc"),
        ("SCRAM-SHA-256", b"n,,n=user,r="),
        ("SCRAM-SHA-256", b"n,,n=us=er,r=abc"), ("SCRAM-SHA-256", b"n,,r=abc,n=user"),
        ("SCRAM-SHA-256", b"n,,n=user,r=a\x01"),
        ("SCRAM-SHA-256", b"n,,n=us\xffer,r=abc"),
    ],
)  # fmt: skip
def test_what_is_no_message(kind: str, message: bytes) -> None:
    step = sasl.server(kind, "n").begin(message)
    assert isinstance(step, Failure)
    assert step.malformed
    assert step.reason


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("SCRAM-SHA-256", b"y,,n=user,r=abc"),
        ("SCRAM-SHA-256", b"p=tls-exporter,,n=user,r=abc"),
        ("SCRAM-SHA-256", b"p=n,,n=user,r=abc"),
        ("SCRAM-SHA-256-PLUS", b"n,,n=user,r=abc"),
        ("SCRAM-SHA-256-PLUS", b"p=tls-unique,,n=user,r=abc"),
    ],
)
def test_bindings_that_are_not_to_be_had(kind: str, message: bytes) -> None:
    """RFC 5802 §6: "y" where the server offers -PLUS says that somebody took it away."""
    step = sasl.server(kind, "n", BINDINGS.get).begin(message)
    assert isinstance(step, Failure)
    assert not step.malformed


def test_a_channel_in_between_is_found_out() -> None:
    server = sasl.server("SCRAM-SHA-256-PLUS", "n", BINDINGS.get)
    client = sasl.client("SCRAM-SHA-256-PLUS", "user", "pencil", "c", binding=lambda kind: b"another channel's")
    step = talk(server, client, "user", "pencil", KEYS)
    assert isinstance(step, Failure)
    assert "in between" in step.reason


def final(change: Any, keys: ScramKeys = KEYS) -> sasl.Step:
    """What becomes of a changed client-final-message."""
    server = sasl.server("SCRAM-SHA-256", "n")
    client = sasl.client("SCRAM-SHA-256", "user", "pencil", "c")
    server.begin(client.first())
    challenge = server.keys(keys)
    assert isinstance(challenge, Challenge)
    return server.respond(change(client.respond(challenge.data)))


@pytest.mark.parametrize(
    ("change", "malformed"),
    [
        (lambda message: message.replace(b"r=cn", b"r=cm"), False),
        (lambda message: message.replace(b"c=biws", b"c=eSws"), False),
        (lambda message: message.replace(b"c=biws,", b""), True),
        (lambda message: message.rpartition(b",p=")[0], True),
        (lambda message: message + b"=", True),
        (lambda message: message[:-8] + b64encode(b"wrong"), False),
        (lambda message: message.rpartition(b",p=")[0] + b",p=" + b64encode(bytes(32)), False),
        (lambda message: message.rpartition(b",p=")[0] + b",p=" + b64encode(b"short"), False),
        (lambda message: message.rpartition(b",p=")[0] + b",p=", False),
        (lambda message: b"", True),
    ],
)
def test_proofs_that_are_none(change: Any, malformed: bool) -> None:
    step = final(change)
    assert isinstance(step, Failure)
    assert step.malformed is malformed
    assert isinstance(final(lambda message: message), Challenge)


@pytest.mark.parametrize(
    "challenge",
    [
        b"", b"r=cn,s=c2FsdA==", b"r=xn,s=c2FsdA==,i=4096", b"r=c,s=c2FsdA==,i=4096", b"r=cn,s=c2FsdA==,i=4095",
        b"r=cn,s=c2FsdA==,i=99999999999", b"r=cn,s=c2FsdA==,i=x", b"r=cn,s=!,i=4096", b"\xff", b"e=other-error",
    ],
)  # fmt: skip
def test_servers_that_a_client_does_not_follow(challenge: bytes) -> None:
    client = sasl.client("SCRAM-SHA-256", "user", "pencil", "c")
    client.first()
    with pytest.raises(sasl.SASLError):
        client.respond(challenge)


@pytest.mark.parametrize("last", [b"v=" + b64encode(bytes(32)), b"e=invalid-proof", b"v=!", b""])
def test_a_server_has_to_know_the_password(last: bytes) -> None:
    client = sasl.client("SCRAM-SHA-256", "user", "pencil", "c")
    client.first()
    client.respond(b"r=cn,s=c2FsdA==,i=4096")
    with pytest.raises(sasl.SASLError):
        client.respond(last)
    assert not client.finished


def test_a_client_says_nothing_twice() -> None:
    client = sasl.client("PLAIN", "user", "pencil", "c")
    assert client.first() == b"\0user\0pencil"
    with pytest.raises(sasl.SASLError):
        client.respond(b"")


def test_steps_out_of_turn() -> None:
    server = sasl.server("PLAIN", "n")
    for call in (lambda: server.respond(b""), lambda: server.verified(True), lambda: server.keys(KEYS)):
        with pytest.raises(LocalProtocolError):
            call()
    server.begin(b"\0user\0pencil")
    with pytest.raises(LocalProtocolError):
        server.begin()
    assert server.verified(False) == Failure("the name or the password is wrong")
    with pytest.raises(LocalProtocolError):
        server.verified(True)


def test_what_is_offered_and_chosen() -> None:
    assert sasl.mechanisms(secure=False, bound=False) == ("SCRAM-SHA-256",)
    assert sasl.mechanisms(secure=True, bound=True) == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN")
    assert sasl.mechanisms(secure=False, bound=False, cleartext=True) == ("SCRAM-SHA-256", "PLAIN", "LOGIN")
    assert sasl.best(["login", "plain", "scram-sha-256"], secure=True, bound=True) == "SCRAM-SHA-256"
    assert sasl.best(["PLAIN", "LOGIN"], secure=True, bound=False) == "PLAIN"
    assert sasl.best(["PLAIN", "LOGIN"], secure=False, bound=False) is None
    for wrong in ("CRAM-MD5", "SCRAM-SHA-256-PLUS", ""):
        with pytest.raises(LookupError):
            sasl.server(wrong, "n")
        with pytest.raises(LookupError):
            sasl.client(wrong, "user", "pencil", "c")


def test_a_client_that_misses_plus_says_so() -> None:
    client = sasl.client("SCRAM-SHA-256", "user", "pencil", "c", binding=BINDINGS.get, offered=["SCRAM-SHA-256"])
    assert (client.first() or b"").startswith(b"y,,")


@pytest.mark.parametrize(
    ("text", "prepared"),
    [("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\xa0b", "a b"),
     ("\u0007", None), ("\u06271", None), ("\u0627\u0628", "\u0627\u0628"), ("\ue000", None), ("\ufff9", None)],
)  # fmt: skip
def test_saslprep(text: str, prepared: str | None) -> None:
    """RFC 4013 §3's examples, and more."""
    if prepared is None:
        with pytest.raises(ValueError, match="RFC"):
            saslprep(text)
    else:
        assert saslprep(text) == prepared


def test_stored_text_has_no_unassigned_characters() -> None:
    assert saslprep("\u0221") == "\u0221"
    with pytest.raises(ValueError, match="not assigned"):
        saslprep("\u0221", stored=True)


@given(st.sampled_from(["PLAIN", "LOGIN", "SCRAM-SHA-256"]), st.lists(st.binary(max_size=60), max_size=4))
def test_any_octets_end_or_go_on(kind: str, messages: list[bytes]) -> None:
    server = sasl.server(kind, "n")
    step = server.begin()
    for message in messages:
        if not isinstance(step, Challenge):
            break
        step = server.respond(message)
        assert not isinstance(step, Success)
