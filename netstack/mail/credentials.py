"""Logging in: passwords verified in threads, SASL exchanges answered, nobody told who has an account (RFC 4954 §4)."""

from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass

from netstack.kernel.machine import Machine
from netstack.mail import sasl
from netstack.mail.accounts import Account, Accounts
from netstack.mail.scram import ITERATIONS, ScramKeys
from netstack.sansio import Security
from netstack.sansio.bounds import all_positive

COST = 0.05
"""Seconds that a password takes, in the simulation alone."""
SECRET = "mail/nobody"  # noqa: S105 -- a file's name
"""The file of the secret that the salts of nobody are made from."""


@dataclass(frozen=True, slots=True)
class CredentialLimits:
    """Bounds of one host's log-ins."""

    verifying: int = 32
    """Passwords that are being verified or wait for it."""

    def __post_init__(self) -> None:
        all_positive(self)


class TooManyLogins(Exception):
    """As many passwords are being verified as may: a temporary failure (454 4.7.0)."""


class Authenticator:
    """Verifies for one host. `accounts` may be replaced at any time."""

    def __init__(self, machine: Machine, accounts: Accounts, limits: CredentialLimits = CredentialLimits()) -> None:
        self.accounts = accounts
        self.limits = limits
        self._machine = machine
        self._verifying = 0
        self._secret = b""

    def mechanisms(self, security: Security | None, cleartext: bool = False) -> tuple[str, ...]:
        """What to offer on a connection."""
        return sasl.mechanisms(security is not None, _bound(security), cleartext)

    def server(self, mechanism: str, security: Security | None) -> sasl.Server:
        """The server's side of an exchange; raises LookupError for a mechanism that cannot be on this connection.

        Whether one may be that sends passwords in the clear is the caller's to know: it offered it.
        """
        binding = security.binding if security is not None and _bound(security) else None
        return sasl.server(mechanism, self.nonce(), binding)

    def nonce(self) -> str:
        """Fresh, for either side."""
        return b64encode(self._machine.rng.randbytes(18)).decode()

    async def answer(self, exchange: sasl.Server, step: sasl.Step) -> sasl.Step:
        """Carries out what a step asks of us; what comes back is a Challenge, a Failure, or a Success of an account's name.

        Raises TooManyLogins.
        """
        while isinstance(step, sasl.Verify | sasl.Lookup):
            if isinstance(step, sasl.Verify):
                step = exchange.verified(await self.password(step.name, step.password) is not None)
            else:
                step = exchange.keys(self.scram(step.name))
        if not isinstance(step, sasl.Success):
            return step
        account = self.accounts.login(step.name)
        if account is None:  # gone in the meantime
            return sasl.Failure("the name or the password is wrong")
        if step.authorization and self.accounts.login(step.authorization) != account:
            return sasl.Failure("nobody acts for somebody else here")
        return sasl.Success(account.name)

    async def password(self, name: str, password: str) -> Account | None:
        """Whose name and password these are; names that nobody has take as long. Raises TooManyLogins."""
        if self._verifying >= self.limits.verifying:
            raise TooManyLogins(f"{self._verifying} passwords are being verified; try again later")
        account = self.accounts.login(name)
        asked = account if account is not None and (account.scrypt or account.scram) else self.accounts.stand_in
        self._verifying += 1
        try:
            right = await self._machine.offload(lambda: asked.verifies(password), COST)
        finally:
            self._verifying -= 1
        return account if right and asked is account else None

    def scram(self, name: str) -> ScramKeys:
        """What is kept of a password; for a name without it something made up, which no proof fits."""
        account = self.accounts.login(name)
        if account is not None and account.scram is not None:
            return account.scram
        iterations = next((each.scram.iterations for each in self.accounts if each.scram is not None), ITERATIONS)
        return ScramKeys.of_nobody(name, self._kept_secret(), iterations)

    def _kept_secret(self) -> bytes:
        """The same after a restart: or who is nobody's changes, and so shows."""
        if not self._secret:
            try:
                self._secret = self._machine.disk.read(SECRET)
            except OSError:
                self._secret = b""
            if len(self._secret) != 32:
                self._secret = self._machine.rng.randbytes(32)
                with suppress(OSError):  # it is for this process alone then
                    self._machine.disk.write(SECRET, self._secret)
        return self._secret


def _bound(security: Security | None) -> bool:
    return security is not None and any(security.binding(kind) is not None for kind in sasl.BINDINGS)
