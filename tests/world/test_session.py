"""The reactor thread, and worlds as blocking programs use them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from netstack.kernel.ladder import ladder
from netstack.kernel.resolver import ResolutionError
from netstack.world import compose, loader
from netstack.world.problems import WorldError
from netstack.world.reactor_thread import ReactorThread
from netstack.world.session import Session, open_session


@pytest.fixture(scope="module")
def thread() -> Iterator[ReactorThread]:
    thread = ReactorThread()
    yield thread
    thread.stop()


def test_results_of_functions_coroutines_and_deferreds(thread: ReactorThread) -> None:
    async def later(value: int) -> int:
        return await deferLater(thread.reactor, 0.001, lambda: value)

    assert thread.call(lambda value: value, 1) == 1
    assert thread.call(later, 2) == 2
    assert thread.call(lambda: deferLater(thread.reactor, 0.001, lambda: 3)) == 3
    assert thread.call(threading.get_ident) != threading.get_ident()


def test_errors_come_back(thread: ReactorThread) -> None:
    def wrong() -> None:
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        thread.call(wrong)


def test_a_call_that_takes_too_long_is_cancelled(thread: ReactorThread) -> None:
    cancelled: list[bool] = []
    with pytest.raises(TimeoutError, match=r"0\.05 s"):
        thread.call(lambda: Deferred(lambda deferred: cancelled.append(True)), within=0.05)
    assert thread.call(lambda: cancelled) == [True]


def test_after_its_end_a_call_is_an_error() -> None:
    ended = ReactorThread()
    ended.stop()
    with pytest.raises(RuntimeError, match="ended"):
        ended.call(lambda: None)


@pytest.fixture(params=["simulated", "loopback"])
def internet(request: pytest.FixtureRequest) -> Iterator[Session]:
    with open_session("small", request.param) as session:
        yield session


def test_a_walk(internet: Session, tmp_path: Path) -> None:
    internet.record()
    found = internet.resolve("gaia.cs.umass.edu")
    assert (found.rcode, found.records) == ("NOERROR", (internet.address("gaia.cs.umass.edu"),))
    assert len(ladder(internet.rows()).splitlines()) == 2 + 2 * 8
    assert internet.capture(tmp_path / "walk.pcapng") == 8
    internet.clear()
    assert internet.rows() == []
    assert internet.flush() >= 1


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_foreign_client_s_question_comes_before_what_follows_from_it(transport: str) -> None:
    """The journal is in the order of causes: a received message is there before those that the host sends because of it."""
    query = dns.message.make_query("gaia.cs.umass.edu", "A")
    with open_session("small", "loopback") as internet:
        internet.record()
        server, port = internet.address("dns.nyu.edu"), 53 + internet.running.port_offset
        ask = dns.query.tcp if transport == "tcp" else dns.query.udp
        assert ask(query, server, timeout=5, port=port).answer
        rows = internet.rows()
    assert len(rows) == 8
    assert (rows[0].destination_name, rows[0].transport, rows[-1].source_name) == ("dns.nyu.edu", transport, "dns.nyu.edu")
    assert rows[1].source_name == "dns.nyu.edu"


def test_what_is_not_there(internet: Session) -> None:
    with pytest.raises(LookupError):
        internet.address("nobody.test")
    with pytest.raises(LookupError):
        internet.resolve("gaia.cs.umass.edu", host="a.root-servers.net")
    with pytest.raises(LookupError, match=r"no host cse in small; did you mean cse\.nyu\.edu\?"):
        internet.resolve("gaia.cs.umass.edu", host="cse")
    with pytest.raises(LookupError, match=r"no host cse\.nyu\.ed in small; did you mean cse\.nyu\.edu\?"):
        internet.fetch("http://gaia.cs.umass.edu/", host="cse.nyu.ed")
    with pytest.raises(LookupError, match="no site umas in small; expected core, umass or nyu"):
        internet.link("umas", delay=1)
    with pytest.raises(ValueError, match="'fast' is not a time"):
        internet.link("umass", delay="fast")
    with pytest.raises(ValueError, match="2 is not a loss"):
        internet.link("umass", loss=2)


def test_links_take_quantities_as_people_write_them(internet: Session) -> None:
    internet.link("umass", delay="250 ms", rate_bps="1.54 Mbit/s", loss="1 %")
    settings = internet.running.links.settings("umass")["up"]
    assert (settings.delay, settings.rate_bps, settings.loss) == (0.25, 1_540_000, 0.01)
    internet.link("umass", delay=0, rate_bps=None, loss=0)
    assert internet.running.links.settings("umass")["up"].rate_bps is None


def test_a_stopped_host_can_be_started_again(internet: Session) -> None:
    url = "http://gaia.cs.umass.edu/"
    assert internet.fetch(url).status == 200
    internet.stop_host("gaia.cs.umass.edu")
    with pytest.raises(Exception, match=r"gaia\.cs\.umass\.edu"):
        internet.fetch(url)
    internet.start_host("gaia.cs.umass.edu")
    assert internet.fetch(url).status == 200


def test_a_resolver_that_is_down_is_an_error(internet: Session) -> None:
    internet.stop_host("dns.nyu.edu")
    with pytest.raises(ResolutionError, match="no reply"):
        internet.resolve("gaia.cs.umass.edu", patience=0.2)
    internet.start_host("dns.nyu.edu")
    assert internet.resolve("gaia.cs.umass.edu").rcode == "NOERROR"


@pytest.mark.parametrize("on", ["simulated", "loopback"])
def test_an_unknown_world(on: str) -> None:
    with pytest.raises(WorldError):
        open_session("no-such-world", on)


def test_an_unknown_substrate() -> None:
    with pytest.raises(ValueError, match="paper"):
        open_session("small", "paper")


@pytest.mark.parametrize("on", ["simulated", "loopback"])
def test_a_web_server_shows_a_directory_of_one_s_own(on: str, tmp_path: Path) -> None:
    (tmp_path / "pages" / "notes").mkdir(parents=True)
    (tmp_path / "pages" / "index.html").write_text("<h1>Mine</h1>")
    (tmp_path / "pages" / "notes" / "one.txt").write_text("one")
    (tmp_path / "pages" / ".hidden").write_text("secret")
    (tmp_path / "mine.toml").write_text(
        'base = "small"\n[hosts."gaia.cs.umass.edu"]\nservices = { origin = { content = "./pages" } }\n'
    )
    with open_session(str(tmp_path / "mine.toml"), on) as internet:
        assert internet.fetch("http://gaia.cs.umass.edu/").body == b"<h1>Mine</h1>"
        assert internet.fetch("http://gaia.cs.umass.edu/notes/one.txt").body == b"one"
        assert internet.fetch("http://gaia.cs.umass.edu/.hidden").status == 404


def test_a_directory_that_is_not_there_is_a_problem_of_the_world(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'base = "small"\n[hosts."gaia.cs.umass.edu"]\nservices = { origin = { content = "./page" } }\n'
    )
    (problem,) = compose.problems(loader.load(str(tmp_path / "mine.toml")))
    assert (problem.key, problem.text) == (
        'hosts."gaia.cs.umass.edu".services.origin.content',
        f"there is no directory {tmp_path / 'page'}",
    )
