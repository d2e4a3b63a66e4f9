"""SASL (RFC 4422) on both sides: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677), as state machines.

Messages are octets here; base64, `*` and an initial response's `=` are of the protocol that carries them.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netstack.mail import scram
from netstack.mail.prep import saslprep
from netstack.sansio import LocalProtocolError

PLAIN, LOGIN, SCRAM, SCRAM_PLUS = "PLAIN", "LOGIN", scram.NAME, scram.PLUS
MECHANISMS = (SCRAM_PLUS, SCRAM, PLAIN, LOGIN)
"""All, the best first."""
MESSAGE = 4096
"""Octets of a message that a server reads; RFC 4616 §2 asks for parts of 255 octets at least."""
BINDINGS = ("tls-exporter", "tls-server-end-point")
"""Kinds of channel bindings (RFC 9266, RFC 5929), the best first."""

Binding = Callable[[str], bytes | None]
"""The channel's binding of a kind, None where it has none: `Security.binding`."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """To be sent to the client, whose response goes to `respond`."""

    data: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Verify:
    """To be answered by `verified`: is this the password of that name?"""

    name: str
    password: str
    authorization: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """To be answered by `keys`: what is kept of the password of that name? Of a name that nobody has: something made up."""

    name: str


@dataclass(frozen=True, slots=True)
class Success:
    """The client is `name`, and wants to act as `authorization` where that is not empty: whether it may is policy."""

    name: str
    authorization: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """The exchange is over; `malformed`: it was not even one."""

    reason: str
    malformed: bool = False


Step = Challenge | Verify | Lookup | Success | Failure


class Server:
    """One exchange. Each method is called when the step before asks for it, else it raises LocalProtocolError."""

    def __init__(self) -> None:
        self._respond: Callable[[bytes], Step] | None = None
        self._verified: Callable[[bool], Step] | None = None
        self._keys: Callable[[scram.ScramKeys], Step] | None = None
        self._begun = False

    def begin(self, initial: bytes | None = None) -> Step:
        """With the client's initial response; None where none came with the command."""
        if self._begun:
            raise LocalProtocolError("an exchange begins once")
        self._begun = True
        self._respond = self._first
        return Challenge(self._prompt()) if initial is None else self.respond(initial)

    def respond(self, response: bytes) -> Step:
        """The client's answer to a Challenge."""
        answer, self._respond = self._respond, None
        if answer is None:
            raise LocalProtocolError("no response was asked for")
        if len(response) > MESSAGE:
            return Failure(f"a message has at most {MESSAGE} octets", malformed=True)
        try:
            return answer(response)
        except ValueError as error:  # UnicodeDecodeError, binascii.Error among them
            return Failure(str(error), malformed=True)

    def verified(self, right: bool) -> Step:
        """The answer to Verify."""
        answer, self._verified = self._verified, None
        if answer is None:
            raise LocalProtocolError("no password was asked about")
        return answer(right)

    def keys(self, keys: scram.ScramKeys) -> Step:
        """The answer to Lookup."""
        answer, self._keys = self._keys, None
        if answer is None:
            raise LocalProtocolError("no keys were asked for")
        return answer(keys)

    def _prompt(self) -> bytes:
        """For mechanisms in which the client begins, it is empty (RFC 4422 §3.2)."""
        return b""

    def _first(self, response: bytes) -> Step:
        raise NotImplementedError

    def _check(self, name: str, password: str, authorization: str = "") -> Step:
        def verified(right: bool) -> Step:
            return Success(name, authorization) if right else Failure("the name or the password is wrong")

        self._verified = verified
        return Verify(name, password, authorization)


class PlainServer(Server):
    """RFC 4616."""

    def _first(self, response: bytes) -> Step:
        parts = response.decode("utf-8").split("\0")
        if len(parts) != 3 or not parts[1] or not parts[2]:
            raise ValueError("[identity] NUL name NUL password was expected (RFC 4616 §2)")
        return self._check(saslprep(parts[1]), parts[2], parts[0])


class LoginServer(Server):
    """The mechanism of old programs, described in draft-murchison-sasl-login: name and password are asked for."""

    def _prompt(self) -> bytes:
        return b"Username:"

    def _first(self, response: bytes) -> Step:
        name = saslprep(response.decode("utf-8"))
        if not name:
            raise ValueError("a name was expected")
        self._respond = lambda password: self._check(name, password.decode("utf-8"))
        return Challenge(b"Password:")


class ScramServer(Server):
    """RFC 5802 §5. `binding` is the channel's where the server offers -PLUS, for both mechanisms."""

    def __init__(self, nonce: str, binding: Binding | None, plus: bool) -> None:
        super().__init__()
        self._nonce = nonce
        self._binding = binding
        self._plus = plus

    def _first(self, response: bytes) -> Step:
        first = scram.parse_client_first(response)
        bound = b""
        if self._plus:
            kind = first.binding.removeprefix("p=")
            found = self._binding(kind) if self._binding and kind in BINDINGS else None
            if found is None:
                return Failure("that channel binding is not to be had here")
            bound = found
        elif first.binding == "y" and self._binding is not None:
            return Failure(f"somebody took {SCRAM_PLUS} out of what is offered here")
        elif first.binding not in ("n", "y"):
            return Failure(f"channel bindings are of {SCRAM_PLUS}")
        self._keys = lambda keys: self._server_first(first, bound, keys)
        return Lookup(first.name)

    def _server_first(self, first: scram.ClientFirst, bound: bytes, keys: scram.ScramKeys) -> Step:
        nonce = first.nonce + self._nonce
        message = f"r={nonce},s={b64encode(keys.salt).decode()},i={keys.iterations}"

        def final(response: bytes) -> Step:
            bare, comma, proof = response.rpartition(b",p=")
            given = scram.parse_attributes(bare, "cr")
            if not comma:
                raise ValueError("p= was expected")
            if b64decode(given["c"], validate=True) != first.header.encode() + bound:
                return Failure("the channel is bound to something else: somebody may be in between")
            if given["r"] != nonce:
                return Failure("the nonce is not the one of this exchange")
            auth = f"{first.bare},{message},".encode() + bare
            if not keys.proven(auth, b64decode(proof, validate=True)):
                return Failure("the name or the password is wrong")
            self._respond = lambda empty: _last(empty, Success(first.name, first.authorization))
            return Challenge(b"v=" + b64encode(hmac.digest(keys.server, auth, "sha256")))

        self._respond = final
        return Challenge(message.encode())


def _last(response: bytes, success: Success) -> Step:
    if response:
        raise ValueError("an empty response was expected")
    return success


def mechanisms(secure: bool, bound: bool, cleartext: bool = False) -> tuple[str, ...]:
    """What a server offers: passwords as they are only under TLS, or where `cleartext` says so (RFC 4954 §4)."""
    scrams = (SCRAM_PLUS, SCRAM) if bound else (SCRAM,)
    return (*scrams, PLAIN, LOGIN) if secure or cleartext else scrams


def server(mechanism: str, nonce: str, binding: Binding | None = None) -> Server:
    """The server's side; `nonce` is unguessable, printable, without commas. Raises LookupError for what is not known."""
    name = mechanism.upper()
    if name in (SCRAM, SCRAM_PLUS):
        if name == SCRAM_PLUS and binding is None:
            raise LookupError(f"there is no channel to bind {name} to")
        return ScramServer(nonce, binding, name == SCRAM_PLUS)
    if name in (PLAIN, LOGIN):
        return PlainServer() if name == PLAIN else LoginServer()
    raise LookupError("no such mechanism")


class SASLError(Exception):
    """The server did not keep to the mechanism, or does not know the password itself."""


class Client:
    """One exchange, of a mechanism in which the client sends its name and password."""

    finished = False
    """All was said, and the server has proved what it has to: before that its success counts for nothing."""

    def __init__(self, *messages: bytes, initial: bool) -> None:
        self._messages = list(messages)
        self._initial = initial

    def first(self) -> bytes | None:
        """The initial response; None in mechanisms in which the server begins."""
        return self._next() if self._initial else None

    def respond(self, challenge: bytes) -> bytes:
        """The answer to a challenge; raises SASLError."""
        return self._next()

    def _next(self) -> bytes:
        if not self._messages:
            raise SASLError("the server asks for more than there is to say")
        message = self._messages.pop(0)
        self.finished = not self._messages
        return message


class ScramClient(Client):
    """RFC 5802 §5; `respond` computes for as long as the server's iterations take."""

    def __init__(self, name: str, password: str, authorization: str, nonce: str, header: str, bound: bytes) -> None:
        super().__init__(initial=True)
        self._password = password
        self._nonce = nonce
        self._header = f"{header},{'a=' + scram.escaped(authorization) if authorization else ''},"
        self._bound = bound
        self._bare = f"n={scram.escaped(saslprep(name))},r={nonce}"
        self._signature: bytes | None = None

    def first(self) -> bytes:
        return (self._header + self._bare).encode()

    def respond(self, challenge: bytes) -> bytes:
        try:
            return self._final(challenge) if self._signature is None else self._end(challenge)
        except ValueError as error:
            raise SASLError(f"the server's message is no {SCRAM}: {error}") from None

    def _final(self, challenge: bytes) -> bytes:
        given = scram.parse_attributes(challenge, "rsi")
        if not given["r"].startswith(self._nonce) or len(given["r"]) == len(self._nonce):
            raise SASLError("the server's nonce is not one of this exchange")
        if not given["i"].isdecimal() or not scram.FEWEST <= int(given["i"][:9]) <= scram.MOST:
            raise SASLError(f"the server asks for iterations beyond {scram.FEWEST} to {scram.MOST} (RFC 7677 §4)")
        salted = scram.salted_password(self._password, b64decode(given["s"], validate=True), int(given["i"]))
        bare = b"c=" + b64encode(self._header.encode() + self._bound) + b",r=" + given["r"].encode()
        auth = self._bare.encode() + b"," + challenge + b"," + bare
        self._signature = hmac.digest(scram.server_key(salted), auth, "sha256")
        return bare + b",p=" + b64encode(scram.client_proof(salted, auth))

    def _end(self, challenge: bytes) -> bytes:
        if self.finished:
            raise SASLError("the server asks for more than there is to say")
        if challenge.startswith(b"e="):
            raise SASLError(f"the server says {challenge[2:80].decode('ascii', 'replace')}")
        signature = b64decode(scram.parse_attributes(challenge, "v")["v"], validate=True)
        if not hmac.compare_digest(signature, self._signature or b""):
            raise SASLError("the server does not know the password: it may be somebody else")
        self.finished = True
        return b""


def best(offered: Sequence[str], secure: bool, bound: bool) -> str | None:
    """What a client chooses of a server's mechanisms: passwords are sent under TLS alone."""
    names = {name.upper() for name in offered}
    return next((name for name in mechanisms(secure, bound) if name in names), None)


def client(
    mechanism: str,
    name: str,
    password: str,
    nonce: str,
    authorization: str = "",
    binding: Binding | None = None,
    offered: Sequence[str] = (),
) -> Client:
    """The client's side. Raises LookupError for what is not known, ValueError for names that cannot be sent."""
    if mechanism == PLAIN:
        if "\0" in name + password + authorization:
            raise ValueError("names and passwords have no NUL (RFC 4616 §2)")
        return Client(f"{authorization}\0{saslprep(name)}\0{password}".encode(), initial=True)
    if mechanism == LOGIN:
        return Client(name.encode(), password.encode(), initial=False)
    if mechanism == SCRAM:
        wants = binding is not None and SCRAM_PLUS not in offered
        return ScramClient(name, password, authorization, nonce, "y" if wants else "n", b"")
    if mechanism == SCRAM_PLUS and binding is not None:
        for kind in BINDINGS:
            if (bound := binding(kind)) is not None:
                return ScramClient(name, password, authorization, nonce, f"p={kind}", bound)
    raise LookupError(f"{mechanism} is not to be had here")
