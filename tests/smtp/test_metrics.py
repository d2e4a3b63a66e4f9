"""What a mail host counts, as Prometheus reads it."""

from prometheus_client import generate_latest

from netstack.smtp.events import Recipient
from tests.smtp.test_offices import MESSAGE, submitted
from tests.smtp.town import Office, Town


def exported(office: Office) -> dict[str, float]:
    """Samples by name and labels."""
    machine = office.host.machine
    assert machine is not None
    lines = generate_latest(machine.registry).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))}


def test_what_came_in_and_what_became_of_it() -> None:
    town = Town()
    assert town.ask(submitted, town, "bob@hamburger.edu", "eve@hamburger.edu", "x@nowhere.test").code == 250

    async def strangers() -> None:
        refused = await town.dialogue("192.0.2.2")
        assert (await refused.send("x@crepes.fr", [Recipient("nobody@hamburger.edu")], MESSAGE)).of(0).code == 550
        refused.quit()
        gone = await town.dialogue("192.0.2.2")
        assert (await gone.ask("MAIL", "FROM:<x@crepes.fr>")).code == 250
        gone.abort()
        wrong = await town.dialogue("192.0.2.1", 587)
        await wrong.start_tls()
        await wrong.hello("client.test")
        await wrong.authenticate("PLAIN", b"\0alice@crepes.fr\0mustard")
        wrong.quit()

    town.ask(strangers)
    town.run(30)
    crepes, hamburger = exported(town.crepes), exported(town.hamburger)
    prefix = "netstack_smtp_"
    for name, value in {
        'messages_accepted_total{kind="submission"}': 1,
        'message_recipients_sum{kind="submission"}': 3,
        'message_size_bytes_bucket{kind="submission",le="1024.0"}': 1,
        'logins_total{kind="submission",mechanism="PLAIN",result="ok"}': 1,
        'logins_total{kind="submission",mechanism="PLAIN",result="failed"}': 1,
        'reception_seconds_count{kind="submission"}': 1,
        'client_stage_seconds_count{stage="connection"}': 1,
        'rejections_total{code="535",kind="submission"}': 1,
        'server_tls_total{kind="submission",version="TLSv1.3"}': 2,
        'client_tls_total{result="secured",version="TLSv1.3"}': 1,
        'deliveries_total{fate="relayed"}': 2,
        'deliveries_total{fate="failed"}': 1,
        "reports_total": 1,
        "queue_messages": 0,
        "queue_oldest_seconds": 0,
    }.items():
        assert crepes[prefix + name] == value, name
    for name, value in {
        'messages_accepted_total{kind="mx"}': 1,
        'message_recipients_bucket{kind="mx",le="1.0"}': 0,
        'message_recipients_bucket{kind="mx",le="2.0"}': 1,
        'rejections_total{code="550",kind="mx"}': 1,
        'connections_lost_total{kind="mx",stage="envelope"}': 1,
        'server_tls_total{kind="mx",version="TLSv1.3"}': 1,
        'delivery_delay_seconds_count{fate="delivered"}': 2,
    }.items():
        assert hamburger[prefix + name] == value, name


def test_how_long_mail_waits() -> None:
    town = Town()
    town.hamburger.host.power_off()
    assert town.ask(submitted, town, "bob@hamburger.edu").code == 250
    town.run(600)
    assert 600 <= exported(town.crepes)["netstack_smtp_queue_oldest_seconds"] < 700
