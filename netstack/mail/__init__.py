"""Mail's vocabulary: addresses, accounts and SASL, which smtp, pop3, imap and webmail share."""

from netstack.mail.accounts import Account, Accounts
from netstack.mail.addresses import AddressError, Mailbox, canonical_domain, forward_path, parse_mailbox, reverse_path
from netstack.mail.credentials import Authenticator, CredentialLimits, TooManyLogins
from netstack.mail.limits import AddressLimits

__all__ = [
    "Account",
    "Accounts",
    "AddressError",
    "AddressLimits",
    "Authenticator",
    "CredentialLimits",
    "Mailbox",
    "TooManyLogins",
    "canonical_domain",
    "forward_path",
    "parse_mailbox",
    "reverse_path",
]
