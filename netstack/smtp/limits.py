"""Bounds of one SMTP connection; every one is an option of the tap."""

from dataclasses import dataclass

from netstack.sansio.bounds import all_positive


@dataclass(frozen=True, slots=True)
class SMTPLimits:
    """Sizes in octets, times in seconds; what the peer is told when it goes beyond (RFC 5321 §4.5.3)."""

    command_line: int = 2048
    """A command with its CRLF; RFC 5321 asks for 512, extensions for more (RFC 4954 §4.3: 12 288 for AUTH): 500."""
    auth_line: int = 12_288
    """AUTH and what answers its challenges: 500."""
    text_line: int = 65_536
    """A line of a message: 500. RFC 5321 asks for 1000 and would rather have no limit."""
    message: int = 50 * 1024 * 1024
    """A message, as SIZE announces it: 552."""
    recipients: int = 1000
    """Of one message: 452, and the client sends it again to the rest (RFC 5321 §4.5.3.1.10)."""
    messages: int = 1000
    """Of one connection: 421."""
    errors: int = 20
    """Commands that are refused on one connection: 421."""
    idle_commands: int = 100
    """NOOP, RSET, HELP, VRFY, EXPN, and greetings between two messages: 421."""
    buffered: int = 64 * 1024
    """Pipelined input that may wait while a command is in hand; then reading stops."""
    command_seconds: float = 300.0
    """For the next command: 421 (RFC 5321 §4.5.3.2.7)."""
    data_seconds: float = 180.0
    """For more of a message: 421 (RFC 5321 §4.5.3.2.5)."""
    message_seconds: float = 3600.0
    """For a whole message: 421."""
    reply_line: int = 4096
    """A line of a server's reply; RFC 5321 says 512."""
    reply_lines: int = 200
    """Lines of one reply."""
    greeting_seconds: float = 300.0
    """A client waits for the server's greeting (§4.5.3.2.1), and for replies to MAIL and RCPT (§4.5.3.2.2, .3)."""
    final_seconds: float = 600.0
    """A client waits for the reply to a message's end (§4.5.3.2.6)."""

    def __post_init__(self) -> None:
        all_positive(self)
