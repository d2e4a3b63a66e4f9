"""How much one client and one account may send, and strangers who have to come again (RFC 5321 §7.8, RFC 6647)."""

from collections import OrderedDict
from dataclasses import dataclass

from netstack.kernel.machine import Machine
from netstack.mail.addresses import Mailbox
from netstack.sansio.bounds import all_positive
from netstack.sansio.rates import Rates, network_of
from netstack.smtp.wire import Reply


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """0 is no bound."""

    client_rate: float = 0.0
    """Messages of one client's address in a minute: 450."""
    account_rate: float = 1000.0
    """Recipients of one account's mail in a minute: 450."""
    counted: int = 100_000
    """Clients, and accounts, whose mail is counted; those who sent longest ago are forgotten."""
    greylist_seconds: float = 0.0
    """A client, sender and recipient that were never seen together are sent away for so long: 450."""
    greylist_kept: float = 36 * 86400.0
    """For how long they are known then."""
    greylist_remembered: int = 100_000
    """Clients, senders and recipients that are remembered together; those seen longest ago are forgotten."""

    def __post_init__(self) -> None:
        all_positive(self, or_none=("client_rate", "account_rate", "greylist_seconds", "greylist_kept"))


class Admission:
    """Counts for one kind of listener. In memory: after a restart everybody is new."""

    def __init__(self, machine: Machine, limits: AdmissionLimits) -> None:
        self.limits = limits
        self._seconds = machine.reactor.seconds
        self._clients = Rates(limits.client_rate, remembered=limits.counted)
        self._accounts = Rates(limits.account_rate, remembered=limits.counted)
        self._met: OrderedDict[tuple[object, str, str], tuple[float, bool]] = OrderedDict()
        """Triplet -> when it was first seen, or last once it has come again."""

    def message(self, address: str) -> Reply | None:
        """A refusal for one more message of a client."""
        if self.limits.client_rate and not self._clients.take(network_of(address), self._seconds() / 60):
            return Reply(450, ("too many messages from your network, try again in a minute",), "4.7.1")
        return None

    def recipient(self, account: str) -> Reply | None:
        """A refusal for one more recipient of an account's mail."""
        if account and self.limits.account_rate and not self._accounts.take(account, self._seconds() / 60):
            return Reply(450, ("too many recipients, try again in a minute",), "4.7.1")
        return None

    def stranger(self, address: str, sender: Mailbox | None, recipient: Mailbox) -> Reply | None:
        """A refusal for who has not come again yet."""
        limits = self.limits
        if not limits.greylist_seconds:
            return None
        now = self._seconds()
        key = network_of(address), "" if sender is None else str(sender).lower(), str(recipient).lower()
        first, known = self._met.pop(key, (now, False))
        if known and now - first > limits.greylist_kept:
            first, known = now, False
        known = known or now - first >= limits.greylist_seconds
        self._met[key] = (now if known else first), known
        if len(self._met) > limits.greylist_remembered:
            self._met.popitem(last=False)
        return None if known else Reply(450, ("you are new here, try again in a while",), "4.7.1")
