"""Errors of engines; the class says whose fault it is."""


class ProtocolError(Exception):
    """The protocol was broken. `code` is the protocol's own status (HTTP status, SMTP reply) where it has one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class LocalProtocolError(ProtocolError):
    """Our own side asked for something that the protocol does not allow in this state: a bug of the caller."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that the protocol does not allow."""
