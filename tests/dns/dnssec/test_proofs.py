"""Answers of a signed zone: what DO adds, and that nothing changes without it."""

import dns.flags
import pytest
from dns.rdatatype import RdataType

from netstack.dns.dnssec.signer import DENIALS, Denial
from netstack.dns.zone import Zone
from tests.dns.dnssec.signed import QUESTIONS, ZONE, ask, authority, signed_zone

MADE = {RdataType.RRSIG, RdataType.NSEC, RdataType.NSEC3}


@pytest.mark.parametrize("denial", DENIALS)
def test_without_do_nothing_changes(denial: Denial) -> None:
    plain = authority(Zone.from_text("umass.edu", ZONE.replace("ADDRESS", "10.1.0.8")))
    signed = authority(signed_zone("umass.edu", denial=denial))
    for asked in QUESTIONS:
        if asked.split()[1] in ("DNSKEY", "NSEC", "NSEC3PARAM"):
            continue
        question = asked.replace("ZONE", "umass.edu")
        expected, got = ask(plain, question, want_dnssec=False), ask(signed, question, want_dnssec=False)
        expected.id = got.id
        assert got.to_wire(want_shuffle=False) == expected.to_wire(want_shuffle=False), asked


@pytest.mark.parametrize("denial", DENIALS)
def test_do_only_adds(denial: Denial) -> None:
    """Without what DNSSEC adds, the reply is the one without DO."""
    signed = authority(signed_zone("umass.edu", denial=denial))
    added = 0
    for asked in QUESTIONS:
        question = asked.replace("ZONE", "umass.edu")
        without, reply = ask(signed, question, want_dnssec=False), ask(signed, question)
        assert reply.ednsflags & dns.flags.DO
        rdtype = RdataType.from_text(asked.split()[1])
        for section, other in (
            (reply.answer, without.answer), (reply.authority, without.authority), (reply.additional, without.additional)
        ):  # fmt: skip
            kept = [rrset for rrset in section if rrset.rdtype not in MADE - {rdtype} and not (
                rrset.rdtype == RdataType.DS and section is reply.authority)]  # fmt: skip
            assert kept == other, asked
            added += len(section) - len(kept)
        assert reply.rcode() == without.rcode()
    assert added > 150


@pytest.mark.parametrize("denial", DENIALS)
def test_a_reply_that_does_not_fit_is_truncated(denial: Denial) -> None:
    signed = authority(signed_zone("umass.edu", denial=denial), udp_payload=4096)
    questions = [asked.replace("ZONE", "umass.edu") for asked in QUESTIONS]
    sizes = {asked: len(ask(signed, asked, stream=False, payload=4096).to_wire()) for asked in questions}
    asked = max(sizes, key=sizes.__getitem__)
    assert sizes[asked] > 512
    assert not ask(signed, asked, stream=False, payload=4096).flags & dns.flags.TC
    short = ask(signed, asked, stream=False, payload=512)
    assert short.flags & dns.flags.TC
    assert len(short.to_wire()) <= 512
    assert not short.authority


def test_an_unsigned_zone_has_nothing_to_add() -> None:
    plain = authority(Zone.from_text("umass.edu", ZONE.replace("ADDRESS", "10.1.0.8")))
    assert not {rrset.rdtype for rrset in ask(plain, "nowhere.umass.edu A").authority} & MADE


def test_the_parent_answers_for_ds_and_the_child_for_the_rest() -> None:
    parent = signed_zone("edu", "$TTL 1h\n@ SOA a b 1 2h 1h 2w 1h\n@ NS a\na A 10.0.0.1\numass NS dns.umass\n"
                         "dns.umass A 10.0.0.2\numass DS 1 13 2 " + "00" * 32 + "\n")  # fmt: skip
    both = authority(parent, signed_zone("umass.edu"))
    (ds, signature) = ask(both, "umass.edu DS").answer
    assert signature[0].signer.to_text() == "edu."
    assert ds[0].key_tag == 1
    assert ask(both, "umass.edu DNSKEY").answer[1][0].signer.to_text() == "umass.edu."


def test_replacing_a_zone_replaces_its_proofs() -> None:
    server = authority(signed_zone("umass.edu"))
    before = ask(server, "nowhere.umass.edu A").authority
    server.put(signed_zone("umass.edu", denial="nsec3"))
    after = ask(server, "nowhere.umass.edu A").authority
    assert {rrset.rdtype for rrset in before} == {RdataType.SOA, RdataType.RRSIG, RdataType.NSEC}
    assert {rrset.rdtype for rrset in after} == {RdataType.SOA, RdataType.RRSIG, RdataType.NSEC3}
