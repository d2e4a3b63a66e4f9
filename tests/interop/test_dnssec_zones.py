"""Other people's programs on our signed zones: they verify them, serve them with the same answers, and validate ours."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import pytest
from dns.message import Message

from netstack.dns.dnssec.keys import anchors, read_key
from netstack.dns.dnssec.signer import DENIALS, Denial, Policy, sign
from netstack.dns.zone import Zone
from tests.addresses import own_address
from tests.dns.dnssec.signed import QUESTIONS, ZONE, ask, authority, keys, master_file, signed_zone
from tests.interop.dns_programs import PORT, named
from tests.interop.programs import need
from tests.processes import running, twistd


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run((need(arguments[0]), *arguments[1:]), capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("split", [False, True], ids=["csk", "ksk+zsk"])
@pytest.mark.parametrize("denial", DENIALS)
def test_verifiers_accept_our_zones(denial: Denial, split: bool, tmp_path: Path) -> None:
    file = tmp_path / "zone"
    file.write_text(master_file(signed_zone("umass.edu", denial=denial, split=split, wall=time.time())))
    for command in (
        ("named-checkzone", "-q", "umass.edu", str(file)),
        ("dnssec-verify", *(() if split else ("-z",)), "-o", "umass.edu", str(file)),
        ("ldns-verify-zone", str(file)),
    ):
        assert run(*command)[0] == 0, run(*command)


@pytest.mark.parametrize("program", ["dnssec-verify", "ldns-verify-zone"])
def test_verifiers_refuse_what_we_break(program: str, tmp_path: Path) -> None:
    """So that their assent means something: one signature flipped, an old zone."""
    file = tmp_path / "zone"
    command = (program, "-z", "-o", "umass.edu", str(file)) if program == "dnssec-verify" else (program, str(file))
    text = master_file(signed_zone("umass.edu", wall=time.time()))
    file.write_text(text.replace("10.1.0.3", "10.1.0.4"))
    assert run(*command)[0] != 0
    file.write_text(master_file(signed_zone("umass.edu", wall=time.time() - 90 * 86400)))
    assert run(*command)[0] != 0


def test_our_keys_sign_with_dnssec_signzone(tmp_path: Path) -> None:
    """BIND's signer takes our key files; its own are read by us."""
    (key,) = keys("umass.edu")
    (tmp_path / f"{key.file}.key").write_text(key.public_text())
    (tmp_path / f"{key.file}.private").write_text(key.private_text())
    (tmp_path / "zone").write_text(ZONE.replace("ADDRESS", "10.1.0.8") + key.public_text())
    code, written = run("dnssec-signzone", "-z", "-K", str(tmp_path), "-d", str(tmp_path), "-o", "umass.edu",
                        "-f", str(tmp_path / "signed"), str(tmp_path / "zone"))  # fmt: skip
    assert code == 0, written
    assert f"{key.tag} 13 2" in (tmp_path / "dsset-umass.edu.").read_text()
    code, written = run("dnssec-keygen", "-q", "-K", str(tmp_path), "-a", "ECDSAP256SHA256", "-f", "KSK", "nyu.edu")
    assert code == 0, written
    stem = tmp_path / written.strip()
    theirs = read_key(Path(f"{stem}.key").read_text(), Path(f"{stem}.private").read_text())
    assert theirs.file == written.strip()
    zone = sign(Zone.from_text("nyu.edu", ZONE.replace("ADDRESS", "10.1.0.8")), [theirs], Policy(), time.time())
    (tmp_path / "nyu").write_text(master_file(zone))
    assert run("dnssec-verify", "-z", "-o", "nyu.edu", str(tmp_path / "nyu"))[0] == 0


@pytest.fixture(scope="module")
def bind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Zone]]:
    """BIND serves our signed zones nsec.test and nsec3.test."""
    directory = tmp_path_factory.mktemp("dnssec")
    zones = {f"{denial}.test": signed_zone(f"{denial}.test", denial=denial, wall=time.time()) for denial in DENIALS}
    text = ""
    for origin, zone in zones.items():
        (directory / origin).write_text(master_file(zone))
        text += f'zone "{origin}" {{ type primary; file "{directory}/{origin}"; }};\n'
    options = "recursion no; minimal-responses yes; dnssec-validation no;"
    with named(directory / "named", "127.0.0.1", options, text):
        yield zones


def sections(message: Message) -> tuple[object, ...]:
    return (
        message.rcode().name,
        bool(message.flags & dns.flags.AA),
        *(
            sorted(line.lower() for rrset in section for line in rrset.to_text().splitlines())
            for section in (message.answer, message.authority)
        ),
    )


@pytest.mark.parametrize("denial", DENIALS)
def test_our_signed_answers_are_binds(bind: dict[str, Zone], denial: Denial) -> None:
    origin = f"{denial}.test"
    ours = authority(bind[origin])
    different = {}
    for asked in QUESTIONS:
        question = asked.replace("ZONE", origin)
        query = dns.message.make_query(*question.split(), use_edns=0, want_dnssec=True)
        query.flags &= ~dns.flags.RD
        theirs = sections(dns.query.tcp(query, "127.0.0.1", port=PORT, timeout=5))
        got = sections(ask(ours, question))
        if got != theirs:
            different[asked] = (got, theirs)
    assert different == {}


@pytest.fixture(scope="module", params=DENIALS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """twistd netstack-dns signs umass.edu with a key that it makes: its address, and its disk."""
    directory, address = tmp_path_factory.mktemp("server"), own_address()
    (directory / "zone").write_text(ZONE.replace("ADDRESS", "10.1.0.8"))
    with ExitStack() as stack:
        stack.enter_context(
            running(
                *twistd("netstack-dns", "--zone", f"umass.edu={directory}/zone", "--sign", "umass.edu"),
                *("--denial", request.param, "--address", address, "--listen", f"udp:{PORT}", "--listen", f"tcp:{PORT}"),
                *("--state", str(directory / "state")),
                ready="serves 1 zones",
                count=2,
            )
        )
        yield address, directory / "state"


def test_keys_are_the_owners_alone(server: tuple[str, Path]) -> None:
    _, state = server
    found = sorted(state.rglob("*.private"))
    assert len(found) == 1
    assert found[0].stat().st_mode & 0o777 == 0o600
    read = read_key(found[0].with_suffix(".key").read_text(), found[0].read_text())
    (dsset,) = state.rglob("dsset-umass.edu.")
    assert dsset.read_text().splitlines() == list(anchors([read]))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("gaia.cs.umass.edu A", "; fully validated\ngaia.cs.umass.edu."),
        ("www.umass.edu A", "; fully validated\nwww.umass.edu."),
        ("x.wild.umass.edu A", "; fully validated\nx.wild.umass.edu."),
        ("nowhere.umass.edu A", "; negative response, fully validated"),
        ("a.b.wild.umass.edu MX", "; negative response, fully validated"),
        ("gaia.cs.umass.edu MX", "; negative response, fully validated"),
        ("cs.umass.edu A", "; negative response, fully validated"),
        ("phys.umass.edu DS", "; negative response, fully validated"),
        ("safe.umass.edu DS", "; fully validated\nsafe.umass.edu."),
    ],
)
def test_delv_validates_our_server(server: tuple[str, Path], asked: str, expected: str, tmp_path: Path) -> None:
    address, state = server
    (public,) = state.rglob("K*.key")
    name, _, _, data = public.read_text().split(" ", 3)
    flags, protocol, algorithm, key = data.split(maxsplit=3)
    trusted = f'trust-anchors {{ {name} static-key {flags} {protocol} {algorithm} "{key.strip()}"; }};\n'
    (tmp_path / "anchor").write_text(trusted)
    code, written = run(
        "delv", f"@{address}", "-p", str(PORT), "-a", str(tmp_path / "anchor"), "+root=umass.edu", *asked.split()
    )
    assert expected in written, written
    assert code == 0
