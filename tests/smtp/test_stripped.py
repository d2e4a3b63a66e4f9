"""Somebody on the wire takes STARTTLS away, in every way there is: where TLS is demanded no mail leaves (RFC 3207 §6,
RFC 7672 §2.2, RFC 8461 §5, RFC 8689 §4.2.1)."""

import pytest

from netstack.smtp.events import Recipient
from tests.smtp.capturing import Captured
from tests.smtp.test_offices import MESSAGE
from tests.smtp.test_tlspolicy import POLICY
from tests.smtp.town import Town

LIES: dict[str, tuple[str, dict[str, bytes]]] = {
    "taken out of the reply to EHLO": ("SIZE 8BITMIME PIPELINING REQUIRETLS", {}),
    "written over": ("XXXXXXXX SIZE REQUIRETLS", {}),
    "EHLO refused": ("STARTTLS", {"EHLO": b"502 5.5.1 what?"}),
    "EHLO and HELO refused": ("STARTTLS", {"EHLO": b"502 5.5.1 what?", "HELO": b"554 5.7.1 not you"}),
    "refused for now": ("STARTTLS REQUIRETLS", {"STARTTLS": b"454 4.7.0 not now"}),
    "refused for good": ("STARTTLS REQUIRETLS", {"STARTTLS": b"502 5.5.1 what?"}),
    "another reply": ("STARTTLS REQUIRETLS", {"STARTTLS": b"250 2.0.0 go on without"}),
    "no TLS behind it": ("STARTTLS REQUIRETLS", {"STARTTLS": b"220 2.0.0 go on\r\n250 2.0.0 in the clear"}),
}
DEMANDS = {
    "none": True,
    "TLSA": False,
    "TLSA that cannot be used": False,
    "MTA-STS": False,
    "MTA-STS in testing": True,
    "REQUIRETLS": False,
}
"""Whether the message may go in the clear."""


def demand(town: Town, what: str, domain: str) -> None:
    resolver = town.crepes.resolver
    resolver.table[domain, "MX"] = [f"10 {domain}."]
    if what.startswith("TLSA"):
        name = f"_25._tcp.{domain}"
        resolver.table[name, "TLSA"] = ["3 1 1 " + ("00" * 32 if what == "TLSA" else "00")]
        resolver.signed |= {domain, name}
    elif what.startswith("MTA-STS"):
        resolver.table[f"_mta-sts.{domain}", "TXT"] = ['"v=STSv1; id=1;"']


@pytest.mark.parametrize("what", DEMANDS)
def test_nothing_leaves_in_the_clear_where_tls_is_demanded(what: str) -> None:
    town = Town()
    servers: dict[str, Captured] = {}
    policy = POLICY.replace("mail.hamburger.edu", "*.test")
    town.crepes.policy = policy.replace("enforce", "testing") if what.endswith("testing") else policy
    for number, (extensions, replies) in enumerate(LIES.values()):
        domain = f"lie{number}.test"
        town.crepes.resolver.table[domain, "A"] = [f"192.0.3.{number}"]
        servers[domain] = Captured(extensions, replies).on(town.simulation, domain, f"192.0.3.{number}")
        demand(town, what, domain)

    async def send(domain: str) -> int:
        dialogue = await town.dialogue("192.0.2.1", 587, log_in="alice@crepes.fr")
        parameters = [("REQUIRETLS", None)] if what == "REQUIRETLS" else []
        return (await dialogue.send("alice@crepes.fr", [Recipient(f"x@{domain}")], MESSAGE, parameters)).of(0).code

    for domain in servers:
        assert town.ask(send, domain) == 250
    town.run(300)
    goes = [DEMANDS[what] and "HELO" not in replies for _, replies in LIES.values()]
    assert [b"ketchup" in each.octets for each in servers.values()] == goes
    assert [bool(each.mails) for each in servers.values()] == goes
    counts, policies = town.crepes.queue.counts, town.crepes.policies.counts
    assert counts.relayed == sum(goes)
    if what == "REQUIRETLS":  # no server will do: its sender is told
        assert (counts.failed, counts.reports) == (len(LIES), len(LIES))
        assert all(b"Status: 5.7." in octets for _, _, octets in town.crepes.boxes.mail)
    elif not DEMANDS[what]:  # it waits for the attack to end
        assert (counts.failed, counts.deferred, len(town.crepes.queue.messages)) == (0, len(LIES), len(LIES))
        kind = "sts" if what == "MTA-STS" else "tlsa"
        assert (kind, "successful-session") not in policies
        assert sum(number for (policy, _), number in policies.items() if policy == kind) == len(LIES) - 1
