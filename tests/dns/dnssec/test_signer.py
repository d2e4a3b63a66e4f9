"""Signed zones: what is signed and what is not, the chains, and that the same input gives the same octets."""

import dns.dnssec
import dns.name
import pytest
from dns.rdatatype import RdataType

from netstack.dns.dnssec.keys import Key, KeyFormatError, anchors, make_key, read_key
from netstack.dns.dnssec.signer import BACKDATED, DENIALS, Denial, Policy, sign
from netstack.dns.zone import Zone, ZoneError
from tests.dns.dnssec.signed import NOW, ZONE, keys, master_file, signed_zone


@pytest.mark.parametrize("split", [False, True], ids=["csk", "ksk+zsk"])
@pytest.mark.parametrize("denial", DENIALS)
def test_every_authoritative_rrset_is_signed_and_nothing_else(denial: Denial, split: bool) -> None:
    zone = signed_zone("umass.edu", denial=denial, split=split)
    dnskeys = zone.nodes[zone.origin].rrsets[RdataType.DNSKEY]
    assert len(dnskeys) == 1 + split
    signed = 0
    for nodes in (zone.nodes, zone.hashed):
        for name, node in nodes.items():
            for rdtype, rrset in node.rrsets.items():
                if rdtype == RdataType.RRSIG:
                    continue
                here = node.cut is None or (node.cut == name and rdtype in (RdataType.DS, RdataType.NSEC))
                assert (rdtype in node.signatures) == here, (name, rdtype)
                if here:
                    signature = node.signatures[rdtype]
                    dns.dnssec.validate(rrset, signature, {zone.origin: dnskeys}, now=NOW)
                    assert signature.ttl == rrset.ttl
                    assert signature[0].inception == NOW - BACKDATED
                    assert NOW + Policy().validity / 2 <= signature[0].expiration <= NOW + Policy().validity
                    signed += 1
    assert signed > 30


def test_the_ksk_signs_the_keys_alone() -> None:
    zone = signed_zone("umass.edu", split=True)
    ksk, zsk = keys("umass.edu", split=True)
    apex = zone.nodes[zone.origin]
    assert [signature.key_tag for signature in apex.signatures[RdataType.DNSKEY]] == [ksk.tag]
    assert {apex.signatures[rdtype][0].key_tag for rdtype in (RdataType.SOA, RdataType.A)} == {zsk.tag}


@pytest.mark.parametrize("denial", DENIALS)
def test_the_chain_is_a_circle_of_all_names(denial: Denial) -> None:
    zone = signed_zone("umass.edu", denial=denial)
    if denial == "nsec":
        chain = {
            name: node.rrsets[RdataType.NSEC][0].next for name, node in zone.nodes.items() if RdataType.NSEC in node.rrsets
        }
        assert not zone.hashed
        assert dns.name.from_text("cs.umass.edu") not in chain, "a name without records has none"
        assert dns.name.from_text("dns.phys.umass.edu") not in chain, "glue is not ours to speak of"
    else:
        from base64 import b32hexencode

        chain = {
            name: dns.name.from_text(b32hexencode(node.rrsets[RdataType.NSEC3][0].next).decode(), zone.origin)
            for name, node in zone.hashed.items()
        }
        record = next(iter(zone.hashed.values())).rrsets[RdataType.NSEC3][0]
        assert (record.iterations, record.salt, record.flags) == (0, b"", 0)
        assert not set(zone.hashed) & set(zone.nodes)
    at = start = next(iter(chain))
    for _ in chain:
        at = chain[at]
    assert at == start
    assert len(set(chain.values())) == len(chain) > 15


def test_the_same_zone_keys_and_time_give_the_same_octets() -> None:
    assert master_file(signed_zone("umass.edu")) == master_file(signed_zone("umass.edu"))
    assert master_file(signed_zone("umass.edu")) != master_file(signed_zone("umass.edu", seed=9))


@pytest.mark.parametrize("first", DENIALS)
def test_signing_again_leaves_nothing_of_the_first_time(first: Denial) -> None:
    once = signed_zone("umass.edu", denial=first)
    again = sign(once, keys("umass.edu", seed=5), Policy("nsec"), NOW)
    dnskeys = again.nodes[again.origin].rrsets[RdataType.DNSKEY]
    assert len(dnskeys) == 2, "the key that was published stays: rollover"
    assert master_file(again).count(" NSEC3") == 0
    assert not again.hashed


def test_a_signed_master_file_is_read_as_it_was() -> None:
    for denial in DENIALS:
        zone = signed_zone("umass.edu", denial=denial)
        read = Zone.from_text("umass.edu", master_file(zone))
        assert sorted(master_file(read).splitlines()) == sorted(master_file(zone).splitlines())


def test_keys_as_dnssec_keygen_writes_them() -> None:
    (key,) = keys("umass.edu")
    assert key.file == f"Kumass.edu.+013+{key.tag:05}"
    read = read_key("; a comment\n" + key.public_text(), key.private_text())
    assert (read.record, read.zone, read.private_text()) == (key.record, key.zone, key.private_text())
    assert anchors([key]) == (f"umass.edu. IN DS {key.tag} 13 2 {key.ds.digest.hex()}",)
    assert keys(".")[0].file.startswith("K.+013+")


def changed(key: Key) -> list[tuple[str, str, str]]:
    other = make_key(key.zone, b"7" * 48, True)
    public, private = key.public_text(), key.private_text()
    return [
        ("", private, "expected one DNSKEY record"),
        ("umass.edu. IN A 10.0.0.1\n", private, "expected one DNSKEY record"),
        (public.replace(" 13 ", " thirteen "), private, "expected one DNSKEY record"),
        (public, private.replace("13", "8"), "expected Algorithm 13"),
        (public, "", "expected Algorithm 13"),
        (public, private.replace("PrivateKey: ", "PrivateKey: !"), "private key:"),
        (other.public_text(), private, "does not belong"),
    ]


@pytest.mark.parametrize("at", range(7))
def test_files_that_are_no_keys(at: int) -> None:
    public, private, message = changed(keys("umass.edu")[0])[at]
    with pytest.raises(KeyFormatError, match=message):
        read_key(public, private)


def test_what_cannot_be_signed() -> None:
    zone = Zone.from_text("umass.edu", ZONE.replace("ADDRESS", "10.0.0.1"))
    with pytest.raises(ZoneError, match="SEP flag"):
        sign(zone, keys("umass.edu", split=True)[1:], Policy(), NOW)
    with pytest.raises(ZoneError, match="another zone"):
        sign(zone, keys("nyu.edu"), Policy(), NOW)
    with pytest.raises(ValueError, match="denial: expected one of nsec, nsec3"):
        Policy("nsec5")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="validity"):
        Policy(validity=60)
