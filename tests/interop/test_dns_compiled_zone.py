"""A compiled zone through dig: its transfer is what named-compilezone makes of the master file."""

from pathlib import Path

from netstack.cli.arguments import main
from netstack.dns.history import difference
from netstack.dns.zone import Zone
from tests.addresses import own_address
from tests.interop.dns_programs import PORT, run
from tests.interop.test_dns_side_by_side import ZONE
from tests.processes import running, twistd

ORIGIN = "side.test"


def test_dig_transfers_what_the_master_file_says(tmp_path: Path) -> None:
    (tmp_path / "zone").write_text(ZONE)
    theirs = run("named-compilezone", "-i", "none", "-o", "-", "-q", ORIGIN, str(tmp_path / "zone"))
    assert main(["zone", "compile", ORIGIN, str(tmp_path / "zone"), "-o", str(tmp_path / "nszone")]) == 0
    ours = own_address()
    arguments = (
        "netstack-dns", f"--zone={ORIGIN}={tmp_path}/nszone", f"--address={ours}", f"--listen=udp:{PORT}",
        f"--listen=tcp:{PORT}", f"--state={tmp_path}/state", "--transfer=*=127.0.0.0/8",
    )  # fmt: skip
    with running(*twistd(*arguments), ready="serves 1 zones on tcp"):
        sent = run("dig", f"@{ours}", "-p", str(PORT), ORIGIN, "AXFR", "+onesoa", "+noall", "+answer")
        refused = run("dig", f"@{ours}", "-p", str(PORT), "elsewhere.test", "A")
    assert "status: REFUSED" in refused
    assert "COOKIE" in refused
    expected, found = Zone.from_text(ORIGIN, theirs), Zone.from_text(ORIGIN, sent)
    apart = difference(expected, found)
    assert (apart.deleted, apart.added) == ((), ())
    assert sum(map(len, found)) == sum(map(len, expected)) > 30
