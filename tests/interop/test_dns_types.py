"""Records of every type as others read them: kdig asks our server for each, tshark takes our replies apart."""

import subprocess
from collections import defaultdict
from pathlib import Path

import dns.message
import dns.rdata
import dns.rdatatype

from netstack.dns.authority import Authority, fixed
from netstack.dns.zone import Zone
from netstack.kernel.pcapng import export
from tests.addresses import own_address
from tests.dns.every_type import ORIGIN, TEXTS, full_name, zone_text
from tests.interop.programs import need
from tests.interop.test_journal_pcapng import CLIENT, COMPLAINTS, LOCAL, row, tshark
from tests.processes import running, twistd

OFFSET = 23000
LEFT = frozenset({"NSEC3", "NSEC3PARAM"})
TYPES = sorted(set(TEXTS) - LEFT)


def test_kdig_reads_every_type(tmp_path: Path) -> None:
    kdig, address = need("kdig"), own_address()
    (tmp_path / "zone").write_text(zone_text(LEFT))
    command = twistd(
        "netstack-dns",
        f"--zone={ORIGIN}={tmp_path}/zone",
        f"--address={address}",
        f"--port-offset={OFFSET}",
        "--rotation=fixed",
    )
    with running(*command, ready="on tcp:"):
        asked = [
            part for rdtype in TYPES for part in (str(full_name(rdtype)), f"TYPE{int(dns.rdatatype.from_text(rdtype))}")
        ]
        for transport in ("+notcp", "+tcp"):
            shown = subprocess.run(
                [kdig, f"@{address}", "-p", str(53 + OFFSET), transport, "+noall", "+answer", "+time=10", *asked],
                capture_output=True, text=True, timeout=60, check=True,
            ).stdout  # fmt: skip
            found: dict[int, set[bytes]] = defaultdict(set)
            for line in shown.splitlines():
                if line and not line.startswith(";"):
                    _, _, _, rdtype, text = f"{line} ".split(None, 4) if len(line.split()) > 4 else [*line.split(), ""]
                    number = dns.rdatatype.from_text(rdtype)
                    found[number].add(dns.rdata.from_text("IN", number, text).to_digestable())
            for rdtype in TYPES:
                wanted = {dns.rdata.from_text("IN", rdtype, text).to_digestable() for text in TEXTS[rdtype]}
                assert found[dns.rdatatype.from_text(rdtype)] == wanted, f"{rdtype} {transport}"


def test_tshark_takes_every_reply_apart(tmp_path: Path) -> None:
    authority = Authority([Zone.from_text(ORIGIN, zone_text(LEFT))], fixed)
    rows = []
    for number, rdtype in enumerate(TYPES):
        query = dns.message.make_query(full_name(rdtype), rdtype, id=number + 1).to_wire()
        reply = authority.answer(query, stream=False)
        assert reply is not None
        rows.append(row(10.0 + number, (CLIENT, 40000 + number), (LOCAL, 53), "udp", "dns", query))
        rows.append(row(10.5 + number, (LOCAL, 53), (CLIENT, 40000 + number), "udp", "dns", reply.data))
    path = tmp_path / "types.pcapng"
    export(path, rows)
    seen = tshark(path, "-Y", "dns.flags.response == 1", "-T", "fields", "-e", "dns.qry.type", "-e", "dns.count.answers")
    wanted = [f"{int(dns.rdatatype.from_text(rdtype))}\t{len(TEXTS[rdtype])}" for rdtype in TYPES]
    assert seen == wanted
    assert tshark(path, "-Y", COMPLAINTS) == []
