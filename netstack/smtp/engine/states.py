"""The server's states, and what moves it from one to the other (RFC 5321 §4.1.4)."""

from enum import Enum, auto

from netstack.sansio import Transitions


class State(Enum):
    """Where a connection is."""

    CONNECTED = auto()
    """The greeting is owed."""
    GREETED = auto()
    READY = auto()
    """The client has said its name; no transaction is in hand."""
    SENDER = auto()
    RECIPIENTS = auto()
    CONTENT = auto()
    """Between 354 and the end of the message, or between two BDAT."""
    COMPLETE = auto()
    """The message is there, its reply is owed."""
    CLOSED = auto()


class Step(Enum):
    """What moves it on: what was answered with success, but for END and VOID."""

    GREETING = auto()
    HELLO = auto()
    MAIL = auto()
    RCPT = auto()
    CONTENT = auto()
    END = auto()
    """The message's last octet."""
    VOID = auto()
    """The transaction is over, done or not."""
    TLS = auto()
    CLOSE = auto()


_OPEN = (State.READY, State.SENDER, State.RECIPIENTS)
STATES: Transitions[State, Step] = Transitions(
    "SMTP server",
    {(State.CONNECTED, Step.GREETING): State.GREETED, (State.GREETED, Step.HELLO): State.READY}
    | {(state, Step.HELLO): State.READY for state in _OPEN}
    | {
        (State.READY, Step.MAIL): State.SENDER,
        (State.SENDER, Step.RCPT): State.RECIPIENTS,
        (State.RECIPIENTS, Step.RCPT): State.RECIPIENTS,
        (State.RECIPIENTS, Step.CONTENT): State.CONTENT,
        (State.CONTENT, Step.CONTENT): State.CONTENT,
        (State.CONTENT, Step.END): State.COMPLETE,
        (State.CONTENT, Step.VOID): State.READY,
        (State.COMPLETE, Step.VOID): State.READY,
        (State.GREETED, Step.VOID): State.GREETED,
        (State.GREETED, Step.TLS): State.GREETED,
        (State.READY, Step.TLS): State.GREETED,
    }
    | {(state, Step.VOID): State.READY for state in _OPEN}
    | {(state, Step.CLOSE): State.CLOSED for state in State},
)
