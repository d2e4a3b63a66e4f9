"""Bounds of one SMTP connection; every one is an option of the tap."""

from dataclasses import dataclass, field

from netstack.mail.limits import AddressLimits
from netstack.sansio.bounds import all_positive, positive


@dataclass(frozen=True, slots=True)
class SMTPLimits:
    """Sizes in octets, times in seconds; what the peer is told when it goes beyond (RFC 5321 §4.5.3)."""

    command_line: int = 2048
    """A command with its CRLF; RFC 5321 asks for 512, extensions for more (RFC 4954 §4.3: 12 288 for AUTH): 500."""
    auth_line: int = 12_288
    """AUTH and what answers its challenges: 500."""
    text_line: int = 65_536
    """A line of a message: 554. RFC 5321 asks for 1000 and would rather have no limit."""
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

    addresses: AddressLimits = field(default_factory=AddressLimits)
    """Of MAIL and RCPT: 501."""

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """When mail is tried again and given up (RFC 5321 §4.5.4.1), and how much is on its way at once. Times in seconds."""

    first_retry: float = 1800.0
    """From the first attempt to the second; the pauses after it grow."""
    growth: float = 1.5
    """A pause to the one before it; 1 for pauses that are all alike."""
    longest_retry: float = 4 * 3600.0
    jitter: float = 0.1
    """Part of a pause by which it is longer or shorter, at random: what failed together does not come back together."""
    delay_notice: float = 4 * 3600.0
    """Age at which the sender is told that a message waits."""
    lifetime: float = 5 * 86400.0
    """Age at which a message is given up."""
    report_lifetime: float = 2 * 86400.0
    """The same for reports, whose sender is nobody."""
    per_destination: int = 5
    """Connections to one domain at once."""
    connections: int = 100
    """To all domains at once."""
    local: int = 100
    """Messages on their way into mailboxes at once."""
    per_connection: int = 100
    """Messages of one connection."""
    keep: float = 2.0
    """A connection waits for more messages to the same domain."""
    returned: int = 64 * 1024
    """Octets of a message that a report about it brings back; of a longer one the header alone (RFC 3461 §6.2)."""

    def __post_init__(self) -> None:
        all_positive(self, or_none=("jitter", "keep"))
        positive("growth", self.growth, at_least=1.0)
        if self.jitter >= 1:
            raise ValueError(f"jitter: expected a number from 0 to below 1, got {self.jitter!r}")
