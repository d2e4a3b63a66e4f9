"""netstack-smtp, Postfix, Exim and OpenSMTPD side by side: the same dialogues, every difference explained."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.addresses import own_address
from tests.interop import smtp_report
from tests.interop.dns_secure import Trust
from tests.interop.mail_servers import KINDS, PASSWORD, PORT, POSTFIX_LOGINS, USER, MailServer, mail_server
from tests.interop.smtp_conversations import classes, codes, run_rows
from tests.interop.smtp_dialogues import OWN, ROWS
from tests.interop.smtp_differences import SERVERS
from tests.interop.smtp_hosts import MX, SUBMISSION, Host, mail_host
from tests.processes import ROOT

OPTIONS = {  # nobody may relay but who logs in, and no pauses
    "postfix": "mynetworks = 127.0.0.2\nsmtpd_error_sleep_time = 0\nsmtpd_helo_required = yes\n"
    "smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination\n" + POSTFIX_LOGINS,
    "exim": "smtp_accept_max = 0\n",
    "opensmtpd": "",
}
pytestmark = pytest.mark.xdist_group("smtp-side-by-side")


@pytest.fixture(scope="module")
def results() -> Mapping[str, Mapping[str, str]]:
    """For each server what it replied, by the names of the rows; all at the same time."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # servers change their users
        return asyncio.run(_all(Path(name)))


async def _all(directory: Path) -> dict[str, Mapping[str, str]]:
    address = own_address()
    with ExitStack() as stack:
        users = tuple(f"{name}@hamburger.edu" for name in (USER, "other"))
        contexts: list[AbstractContextManager[Host | MailServer]] = [
            mail_host(directory, users=users, address=address, password=PASSWORD)
        ]
        for kind in KINDS:
            contexts.append(mail_server(kind, Trust(directory / kind, f"mail.{kind}.test"), address, OPTIONS[kind]))
        # they start at the same time; a thread for each, as they are waited for
        hosts = await asyncio.gather(*(asyncio.to_thread(stack.enter_context, context) for context in contexts))
        found = await asyncio.gather(
            *(
                run_rows(host.address, MX, SUBMISSION if isinstance(host, Host) else PORT, host.domain, ROWS)
                for host in hosts
            )
        )
    return dict(zip(("ours", *KINDS), found, strict=True))


def test_ours_replies_as_the_table_says(results: Mapping[str, Mapping[str, str]]) -> None:
    wrong = {row.name: (row.ours, results["ours"][row.name]) for row in ROWS if results["ours"][row.name] != row.ours}
    assert wrong == {}


@pytest.mark.parametrize("kind", KINDS)
def test_what_others_do_otherwise_is_what_is_explained(results: Mapping[str, Mapping[str, str]], kind: str) -> None:
    explained = {row for _, rows in SERVERS[kind].different for row in rows.split()}
    theirs = results[kind]
    differ = {row.name: (row.ours, theirs[row.name]) for row in ROWS if classes(row.ours) != classes(theirs[row.name])}
    assert {name: differ[name] for name in sorted(set(differ) - explained)} == {}, "not explained"
    assert sorted(explained - set(differ)) == [], "explained, but it does as ours"


@pytest.mark.parametrize("kind", KINDS)
def test_other_codes_of_the_same_class_are_explained(results: Mapping[str, Mapping[str, str]], kind: str) -> None:
    found: dict[tuple[str, str], list[str]] = {}
    for row in ROWS:
        for pair in codes(row.ours, results[kind][row.name]):
            found.setdefault(pair, []).append(row.name)
    explained = set(SERVERS[kind].codes)
    assert {pair: rows for pair, rows in found.items() if pair not in explained} == {}, "not explained"
    assert sorted(explained - set(found)) == [], "explained, but nobody says it"


def _reasons() -> Iterator[str]:
    for server in SERVERS.values():
        yield from (why for why, _ in server.different)
        yield from server.codes.values()


def test_explanations_are_of_rows() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    for server in SERVERS.values():
        rows = [row for _, rows in server.different for row in rows.split()]
        assert len(set(rows)) == len(rows)
        assert set(rows) <= set(names)
    assert all(why.endswith(".") for why in _reasons())
    assert {OWN in str(row.steps) for row in ROWS} == {True, False}


def test_the_report_says_what_is_tested() -> None:
    assert (ROOT / "docs" / "reports" / "smtp-conformance.md").read_text() == "\n".join(smtp_report.report()) + "\n"
