"""What an MX finds out about a message before it takes it, and how a submission server signs one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from netstack.kernel.machine import Machine
from netstack.mail.limits import HeadLimits
from netstack.mail.message import Field, head, is_broken
from netstack.sansio.bounds import all_positive
from netstack.smtp.authentication import dkim, dmarc, results, spf
from netstack.smtp.authentication.lookup import TemporaryError, texts
from netstack.smtp.authentication.spf import SPFLimits
from netstack.smtp.reception import Client, Transaction, Verdict
from netstack.smtp.wire import Reply

COST = 0.001
"""Seconds for a signature, in the simulation alone."""


@dataclass(frozen=True, slots=True)
class AuthenticationLimits:
    """Bounds of what one message may cost."""

    signatures: int = 5
    """DKIM signatures that are looked at, from the top."""
    dmarc_steps: int = dmarc.MOST_STEPS
    """Names at which a DMARC record is looked for, from the author's domain up."""
    spf: SPFLimits = field(default_factory=SPFLimits)
    heads: HeadLimits = field(default_factory=HeadLimits)
    """A head that goes beyond is refused: 554."""

    def __post_init__(self) -> None:
        all_positive(self)


class Verifying:
    """Looks at mail from other servers: adds Authentication-Results, refuses what its domain wants refused."""

    def __init__(
        self,
        machine: Machine,
        name: str,
        enforce: bool = True,
        limits: AuthenticationLimits | None = None,
        counts: Counter[tuple[str, str]] | None = None,
    ) -> None:
        """`enforce`: a domain's `p=reject` is heeded. `counts`: what was found, by method and result."""
        self._machine = machine
        self._name = name
        self._enforce = enforce
        self._counts = counts
        self._limits = limits or AuthenticationLimits()

    async def __call__(self, client: Client, transaction: Transaction, content: bytes) -> Verdict:
        of = head(content, self._limits.heads)
        if not of.whole:  # a field that is not looked at may be another author
            return Verdict(refusal=Reply(554, ("the message has a head that is too long, or has too many fields",), "5.6.0"))
        fields, body = of.fields, content[of.body :]
        kept = [each for each in fields if not results.is_forged(each, self._name)]
        cleaned = b""
        if len(kept) < len(fields) or is_broken(content, of):
            cleaned = b"".join(each.raw for each in kept) + b"\r\n" + body
        if client.account:
            return Verdict(results.field(self._name, None, "", "", (), None, client.account), content=cleaned)
        checked = await self._spf(client, transaction)
        signatures = await self._dkim(fields, body)
        judged = await dmarc.judge(self._machine.resolver, fields, checked, signatures, self._limits.dmarc_steps)
        if (counts := self._counts) is not None:
            found = [("spf", checked.result), *(("dkim", each.result) for each in signatures), ("dmarc", judged.result)]
            counts.update(found)
        if self._enforce and judged.result in ("fail", "permerror") and judged.policy == "reject":
            why = f"{judged.domain} asks to refuse what it has not sent" if judged.domain else judged.reason
            return Verdict(refusal=Reply(550, (f"{why} (DMARC)",), "5.7.1"))
        sender = "" if transaction.mail.sender is None else str(transaction.mail.sender)
        return Verdict(results.field(self._name, checked, sender, client.hello, signatures, judged), content=cleaned)

    async def _spf(self, client: Client, transaction: Transaction) -> spf.Checked:
        sender = transaction.mail.sender
        if sender is None:  # RFC 7208 §2.4
            identity, domain = f"postmaster@{client.hello}", client.hello
        else:
            identity, domain = f"{sender.local}@{sender.domain}", sender.domain
        return await spf.check_host(self._machine.resolver, client.address, domain, identity, client.hello, self._limits.spf)

    async def _dkim(self, fields: Sequence[Field], body: bytes) -> list[dkim.Verdict]:
        found: list[dkim.Verdict] = []
        for each in fields:
            if each.name != b"dkim-signature":
                continue
            if len(found) >= self._limits.signatures:
                break
            try:
                signature = dkim.parse_signature(each.raw)
                keys = await texts(self._machine.resolver, signature.key_name)
            except dkim.BadSignature as bad:
                found.append(dkim.Verdict(bad.result, "", "", str(bad)))
                continue
            except TemporaryError as error:
                found.append(dkim.Verdict("temperror", signature.domain, signature.selector, str(error)))
                continue
            key = next((text for text in keys or () if "p=" in text), None)
            if key is None:
                found.append(dkim.Verdict("permerror", signature.domain, signature.selector, "no key is published"))
                continue
            wall = self._machine.wall()

            def verify(signature: dkim.Signature = signature, key: str = key, wall: float = wall) -> dkim.Verdict:
                return dkim.verify(signature, fields, body, key, wall)

            found.append(await self._machine.offload(verify, COST))
        return found


@dataclass(frozen=True, slots=True)
class SigningKey:
    """With which a domain's mail is signed."""

    domain: str
    selector: str
    key: dkim.PrivateKey


class Signing:
    """Signs what the users of our domains send."""

    def __init__(self, machine: Machine, keys: Sequence[SigningKey]) -> None:
        self._machine = machine
        self._keys: dict[str, list[SigningKey]] = {}
        for key in keys:
            self._keys.setdefault(key.domain, []).append(key)

    async def __call__(self, client: Client, transaction: Transaction, content: bytes) -> Verdict:
        try:
            domains = dmarc.author_domains(head(content).fields)
        except ValueError:
            return Verdict()
        keys = [key for domain in domains for key in self._keys.get(domain, ())]
        wall = self._machine.wall()

        def sign() -> bytes:
            return b"".join(dkim.sign(content, each.key, each.domain, each.selector, wall) for each in keys)

        return Verdict(await self._machine.offload(sign, COST)) if keys and client.account else Verdict()
