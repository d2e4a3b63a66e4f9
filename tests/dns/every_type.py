"""A record of every type that dnspython can read and write, as master file text."""

import pkgutil

import dns.name
import dns.rdtypes.ANY
import dns.rdtypes.IN

ORIGIN = "types.test"
TEXTS = {
    "A": ("10.0.0.1", "255.255.255.255"),
    "AAAA": ("2001:db8::1", "::", "::ffff:10.0.0.1"),
    "AFSDB": ("0 afs.types.test.",),
    "AMTRELAY": ("10 0 0 .", "0 0 1 203.0.113.15", "10 1 2 2600::1", "128 1 3 amt.types.test."),
    "APL": ("1:192.168.32.0/21 !1:192.168.38.0/28", "1:224.0.0.0/4 2:FF00::/8", ""),
    "AVC": ("app-name:WOLFGANG|app-class:OAM", '"a b" "c"'),
    "BRID": ("YWJjZA==",),
    "CAA": ('0 issue "ca.example.net; account=230123"', '128 tbs "Unknown"', '0 iodef "mailto:security@types.test"'),
    "CDNSKEY": ("257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==",),
    "CDS": ("12345 13 2 " + "ab" * 32, "0 0 0 00"),
    "CERT": ("65534 65535 PRIVATEOID MxFcby9k/yvedMfQgKzhH5er0Mu/vILz45Ik", "PGP 0 0 AAAA"),
    "CNAME": ("a.types.test.",),
    "CSYNC": ("0 0 A NS AAAA", "66 3 TYPE65280"),
    "DHCID": ("AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",),
    "DLV": ("12345 3 1 " + "12" * 20,),
    "DNAME": ("elsewhere.test.",),
    "DNSKEY": ("512 255 1 AQMFD5raczCJHViKtLYhWGz8hMY9UGRuniJDBzC7w0aRyzWZriO6i2odGWWQVucZqKVsENW91IOW4vqudngPZsY3",),
    "DS": ("12345 13 2 " + "cd" * 32, "1 8 1 " + "01" * 20, "2 15 4 " + "fe" * 48),
    "DSYNC": ("CDS NOTIFY 5359 cds-scanner.types.test.",),
    "EUI48": ("00-00-5e-00-53-2a",),
    "EUI64": ("00-00-5e-ef-10-00-00-2a",),
    "GPOS": ('"-22.6882" "116.8652" "250.0"',),
    "HHIT": ("YWJjZA==",),
    "HINFO": ('"Generic PC clone" "NetBSD-1.4"', '"" "\\000\\255"'),
    "HIP": (
        "2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p rvs.types.test.",
    ),
    "HTTPS": ("1 . alpn=h2,h3 ipv4hint=10.0.0.1", "0 svc.types.test.", '1 foo. key667="hello\\210qoo" port=53'),
    "IPSECKEY": ("10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==", "1 0 2 . AQNR", "1 3 2 gw. AQNR"),
    "ISDN": ('"isdn-address"', '"isdn-address" "subaddress"'),
    "KEY": ("512 255 1 AQMFD5raczCJHViKtLYhWGz8hMY9UGRuniJDBzC7w0aR",),
    "KX": ("10 kdc.types.test.", "10 ."),
    "L32": ("10 10.1.2.0",),
    "L64": ("10 2001:0db8:1140:1000",),
    "LOC": ("60 9 0.000 N 24 39 0.000 E 10.00m 20.00m 2000.00m 20.00m", "42 21 54 S 71 6 18 W -24m 30m"),
    "LP": ("10 l64-subnet1.types.test.",),
    "MX": ("10 mail.types.test.", "0 ."),
    "NAPTR": ('0 0 "" "" "" .', '65535 65535 "u" "E2U+sip" "!^.*$!sip:info@types.test!" foo.'),
    "NID": ("10 0014:4fff:ff20:ee64",),
    "NINFO": ('"status=ok"',),
    "NS": ("ns.types.test.",),
    "NSAP": ("0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00",),
    "NSAP-PTR": ("foo.types.test.",),
    "NSEC": ("a.types.test. A MX RRSIG NSEC TYPE1234",),
    "NSEC3": (
        "1 1 12 AABBCCDD 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX NS RRSIG", "1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr",
    ),
    "NSEC3PARAM": ("1 0 0 -", "1 1 12 AABBCCDD"),
    "OPENPGPKEY": ("mQENBFVHm5sBCADA",),
    "PTR": ("host.types.test.",),
    "PX": ("65535 foo.types.test. bar.types.test.",),
    "RESINFO": ('"qnamemin" "exterr=15,16,17" "infourl=https://types.test"',),
    "RP": ("mbox.types.test. txt.types.test.",),
    "RRSIG": ("A 13 3 60 20260101000000 20250101000000 2143 types.test. MxFcby9k/yvedMfQgKzhH5er0Mu/vILz45IkskceFGgiWCn/",),
    "RT": ("0 intermediate-host.types.test.",),
    "SIG": ("NXT 1 3 3600 20200101000000 20030101000000 2143 types.test. MxFcby9k/yvedMfQgKzhH5er0Mu/vILz45IkskceFGgiWCn/",),
    "SMIMEA": ("3 1 1 a9cdf989b504fe5dca90c0d2167b6550570734f7c763e09fdf88904e06157065",),
    "SOA": ("ns.types.test. h.types.test. 1 2 3 4 5",),
    "SPF": ('"v=spf1 mx -all"',),
    "SRV": ("0 0 0 .", "65535 65535 65535 old-slow-box.types.test."),
    "SSHFP": ("1 1 aa549bfe898489c02d1715d97d79c57ba2fa76ab", "4 2 " + "0b" * 32),
    "SVCB": ("16 foo.types.test. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1", "1 . no-default-alpn alpn=bar"),
    "TLSA": ("3 1 1 a9cdf989b504fe5dca90c0d2167b6550570734f7c763e09fdf88904e06157065",),
    "TXT": ('"foo"', '"foo" "bar"', '"\\"foo\\\\" "\\195\\169\\000"', '"' + "x" * 255 + '"', '""'),
    "URI": ('10 1 "ftp://ftp1.types.test/public"',),
    "WALLET": ('"EXAMPLE" "01234567890abcdef"',),
    "WKS": ("10.0.0.1 6 0 1 2 21 23", "10.0.0.2 17 0 53"),
    "X25": ('"123456789"',),
    "ZONEMD": ("2018031900 1 1 " + "62" * 48, "2018031900 1 2 " + "08" * 64),
    "TYPE65280": ("\\# 0", "\\# 5 0123456789"),
    "TYPE4660": ("\\# 20 " + "c00c" * 10,),
}  # fmt: skip
ALONE = {"SOA", "CNAME", "DNAME"}
"""One to a name."""
NO_ZONE_DATA = {"OPT", "TSIG", "TKEY"}
"""Of messages, not of zones."""
AT_ORIGIN = {"SOA", "NS"}


def known() -> set[str]:
    """All types that dnspython has a module for."""
    found = set()
    for package in (dns.rdtypes.ANY, dns.rdtypes.IN):
        found |= {module.name.replace("_", "-") for module in pkgutil.iter_modules(package.__path__)}
    return found


def owner(rdtype: str) -> str:
    """The name that has the records of a type; NSEC3's own are hashes of names."""
    if rdtype in AT_ORIGIN:
        return "@"
    return "2t7b4g4vsa5smi47k61mv5bv1a22bojr" if rdtype == "NSEC3" else rdtype.lower()


def zone_text(leave: frozenset[str] = frozenset()) -> str:
    """A master file of them all, each type at a name of its own."""
    lines = ["$TTL 3600"]
    for rdtype in ["SOA", "NS", *sorted(set(TEXTS) - AT_ORIGIN)]:
        if rdtype not in leave:
            lines += [f"{owner(rdtype)} {rdtype} {text}" for text in TEXTS[rdtype]]
    return "\n".join(lines) + "\n"


def full_name(rdtype: str) -> dns.name.Name:
    """The owner's."""
    return dns.name.from_text(ORIGIN if rdtype in AT_ORIGIN else f"{owner(rdtype)}.{ORIGIN}")
