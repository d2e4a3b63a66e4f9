"""What a server offers to who says EHLO (RFC 5321 §4.1.1.1)."""

from dataclasses import dataclass

from netstack.smtp.limits import SMTPLimits


@dataclass(frozen=True, slots=True)
class Offer:
    """One kind of listener's."""

    name: str
    """The server's own, the first word of its greeting (§4.2)."""
    starttls: bool = False
    mechanisms: tuple[str, ...] = ()
    """Of AUTH, offered under TLS."""
    cleartext: bool = False
    """The mechanisms are offered without TLS, too."""
    chunking: bool = True
    """CHUNKING and BINARYMIME (RFC 3030)."""
    require_tls: bool = True
    """REQUIRETLS, under TLS (RFC 8689)."""
    utf8: bool = True
    dsn: bool = True
    verify: bool = True
    """VRFY is of use."""

    def logins(self, secure: bool) -> list[str]:
        """The mechanisms that are possible: a channel that is none cannot be bound (RFC 5802 §6)."""
        return [each for each in self.mechanisms if secure or (self.cleartext and not each.endswith("-PLUS"))]

    def extensions(self, limits: SMTPLimits, secure: bool) -> list[str]:
        """The lines after the first one."""
        lines = ["PIPELINING", f"SIZE {limits.message}", "8BITMIME", "ENHANCEDSTATUSCODES", "HELP"]
        lines += ["VRFY"] if self.verify else []
        lines += ["SMTPUTF8"] if self.utf8 else []
        lines += ["DSN"] if self.dsn else []
        lines += ["CHUNKING", "BINARYMIME"] if self.chunking else []
        lines += ["STARTTLS"] if self.starttls and not secure else []
        lines += ["REQUIRETLS"] if self.require_tls and secure else []
        if logins := self.logins(secure):
            lines.append("AUTH " + " ".join(logins))
        return [*lines, f"LIMITS RCPTMAX={limits.recipients} MAILMAX={limits.messages}"]  # RFC 9422
