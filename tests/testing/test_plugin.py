"""The fixtures as a user's test suite has them: each suite is a file of its own, run by a pytest of its own."""

import os
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = any(point.value == "netstack.testing.plugin" for point in entry_points(group="pytest11"))


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    plugin = [] if INSTALLED else ["-p", "netstack.testing.plugin"]
    return suite.runpytest_subprocess("-q", *plugin, *arguments, timeout=100)


BLOCKING = """
import smtplib, socket, ssl, time, urllib.request
import pytest, requests
from netstack.kernel.ladder import ladder

PAGE = "http://gaia.cs.umass.edu/"

def test_requests_as_written(internet):
    response = requests.get(PAGE, timeout=30)
    assert response.status_code == 200
    assert len(internet.messages("http")) == 2
    assert requests.get(PAGE.replace("http:", "https:"), timeout=30).status_code == 200
    with internet.session() as session:
        assert session.get(PAGE.replace("http:", "https:"), timeout=30).content == response.content

def test_standard_library(internet):
    with urllib.request.urlopen(PAGE, timeout=30) as response:
        assert response.status == 200
    with urllib.request.urlopen(PAGE.replace("http:", "https:"), timeout=30) as response:
        assert response.status == 200

def test_plain_socket(internet):
    with socket.create_connection(("gaia.cs.umass.edu", 80), 30) as connection:
        connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 200")
    with socket.create_connection(internet.endpoint("gaia.cs.umass.edu", 80), 30):
        pass

def test_tls_for_another_name_is_refused(internet):
    context = ssl.create_default_context(cafile=internet.ca)
    with socket.create_connection(("gaia.cs.umass.edu", 443), 30) as connection:
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(connection, server_hostname="www.bank.test")

def test_unknown_names_are_looked_up_as_ever(internet):
    assert socket.getaddrinfo("127.0.0.1", 80)[0][4] == ("127.0.0.1", 80)

def test_resolve_and_journal(internet):
    assert internet.resolve("gaia.cs.umass.edu", host="cse.nyu.edu").records == (internet.address("gaia.cs.umass.edu"),)
    assert len(internet.messages("dns")) == 8, ladder(internet.journal)
    assert internet.resolve("gaia.cs.umass.edu", host="apricot.nyu.edu").rcode == "NOERROR"
    assert len(internet.messages("dns")) == 10

@pytest.mark.parametrize("again", range(2))
def test_reset_between_tests(internet, again):
    assert internet.journal == []
    internet.resolve("gaia.cs.umass.edu", host="cse.nyu.edu")
    assert len(internet.journal) == 8
    internet.link("nyu", delay=0.02)
    internet.stop_host("gaia.cs.umass.edu")
    with pytest.raises(requests.ConnectionError):
        requests.get(PAGE, timeout=30)

def test_reset_is_quick(internet):
    def took():
        requests.get(PAGE, timeout=30)
        internet.resolve("gaia.cs.umass.edu")
        started = time.perf_counter()
        internet.reset()
        return time.perf_counter() - started
    assert any(took() < 0.1 for _ in range(20))  # for the machine may have other work
    assert internet.journal == []
    assert internet.running.links.settings("nyu")["up"].delay == 0

def test_wait_for_message(internet):
    internet.resolve("gaia.cs.umass.edu")
    row = internet.wait_for_message(lambda row: row.destination_name == "a.root-servers.net")
    assert row.protocol == "dns"
    with pytest.raises(TimeoutError, match="a.root-servers.net"):
        internet.wait_for_message(lambda row: row.protocol == "http", timeout=0.05)

def test_a_slow_link_is_felt(internet):
    assert any(requests.get(PAGE, timeout=30).elapsed.total_seconds() < 0.09 for _ in range(20))
    internet.link("umass", delay=0.1)
    started = time.perf_counter()
    assert requests.get(PAGE, timeout=30).ok
    assert time.perf_counter() - started > 0.09
    started = time.perf_counter()
    assert internet.fetch(PAGE, "cse.nyu.edu").status == 200
    assert time.perf_counter() - started > 0.39  # handshake and request, there and back

def test_wait_for_a_message_to_come(internet):
    import threading
    asking = threading.Timer(0.1, requests.get, [PAGE], {"timeout": 30})
    asking.start()
    assert internet.wait_for_message(lambda row: row.protocol == "http").destination_name == "gaia.cs.umass.edu"
    asking.join()
"""


@pytest.mark.parametrize("offset", ["", "12000"])
def test_blocking_clients(suite: pytest.Pytester, offset: str) -> None:
    """With an offset as where an ordinary user may not bind ports below 1024: the suite's text is the same."""
    suite.makeini(f"[pytest]\nnetstack_port_offset = {offset}\n")
    suite.makepyfile(BLOCKING)
    result = run(suite, "-p", "no:pytest_twisted", "-p", "no:twisted")
    result.assert_outcomes(passed=12)


def test_beside_pytest_twisted(suite: pytest.Pytester) -> None:
    """Its reactor runs in the main thread, ours in its own."""
    suite.makepyfile(
        """
        import pytest_twisted, requests
        from twisted.internet import reactor
        from twisted.internet.task import deferLater

        def test_blocking(internet):
            assert requests.get("http://gaia.cs.umass.edu/", timeout=30).ok
            assert internet.thread.reactor is not reactor

        @pytest_twisted.inlineCallbacks
        def test_deferred(internet):
            yield deferLater(reactor, 0.01, lambda: None)
            assert requests.get("http://gaia.cs.umass.edu/", timeout=30).ok
        """
    )
    run(suite).assert_outcomes(passed=2)


def test_under_xdist(suite: pytest.Pytester) -> None:
    """Each worker has its own addresses."""
    suite.makepyfile(
        """
        import pytest, requests

        @pytest.mark.parametrize("number", range(6))
        def test_alone(internet, number):
            assert requests.get("http://gaia.cs.umass.edu/", timeout=30).ok
            assert len(internet.messages("http")) == 2
        """
    )
    run(suite, "-n", "2").assert_outcomes(passed=6)


def test_the_world_is_chosen(suite: pytest.Pytester) -> None:
    """By marker, by a file beside the test, by the ini file."""
    suite.makeini("[pytest]\nnetstack_world = textbook\n")
    suite.path.joinpath("mine.toml").write_text('base = "small"\n[hosts]\n"pear.nyu.edu" = {}\n')
    suite.makepyfile(
        """
        import pytest

        def test_ini(internet):
            assert "www.someschool.edu" in internet.names

        @pytest.mark.internet(world="small.toml")
        def test_marker(internet):
            assert "www.someschool.edu" not in internet.names

        @pytest.mark.internet(world="mine.toml")
        def test_file(internet):
            assert "pear.nyu.edu" in internet.names

        @pytest.mark.internet(word="small")
        def test_misspelt(internet):
            pass
        """
    )
    result = run(suite)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*expected internet(world=*"])


SIMULATED = """
import time
import pytest

NAME = "gaia.cs.umass.edu"

def walk(internet):
    internet.resolve(NAME, host="cse.nyu.edu")
    internet.fetch(f"http://{NAME}/", host="apricot.nyu.edu")
    return internet.hashes()

seen = []

@pytest.mark.parametrize("again", range(2))
def test_repeats(simulated_internet, again):
    seen.append(walk(simulated_internet))
    assert len(simulated_internet.journal) > 8
    assert len(set(seen)) == 1

@pytest.mark.internet(seed=2)
def test_another_seed(simulated_internet):
    walk(simulated_internet)
    assert simulated_internet.running.seed == 2

def test_a_week_passes(simulated_internet):
    started = time.process_time()
    simulated_internet.run(until=7 * 86400)
    assert simulated_internet.now == pytest.approx(7 * 86400)
    assert time.process_time() - started < 5

def test_call_then_run(simulated_internet):
    outcome = simulated_internet.call("cse.nyu.edu", lambda machine: machine.resolver.addresses(NAME))
    assert not outcome.done
    simulated_internet.run(until=simulated_internet.now + 60)
    assert list(outcome.result()) == [simulated_internet.address(NAME)]

def test_faults(simulated_internet):
    internet = simulated_internet
    internet.kill(NAME)
    with pytest.raises(Exception, match="refused"):
        internet.fetch(f"http://{NAME}/", host="cse.nyu.edu")
    internet.boot(NAME)
    assert internet.fetch(f"http://{NAME}/", host="cse.nyu.edu").status == 200
    internet.cut("cse.nyu.edu", NAME)
    before = internet.now
    with pytest.raises(Exception, match=NAME):
        internet.fetch(f"http://{NAME}/", host="cse.nyu.edu")
    assert internet.now - before >= 5
    internet.heal("cse.nyu.edu", NAME)
    assert internet.fetch(f"http://{NAME}/", host="cse.nyu.edu").status == 200

def test_clock(simulated_internet):
    wall = lambda host: simulated_internet.ask(host, lambda machine: machine.wall())
    simulated_internet.clock(NAME, 3600)
    assert wall(NAME) - wall("cse.nyu.edu") == pytest.approx(3600)
"""


def test_simulated_internet(suite: pytest.Pytester) -> None:
    suite.makepyfile(SIMULATED)
    run(suite).assert_outcomes(passed=7)


def test_nothing_is_imported_for_a_suite_without_fixtures(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import sys

        def test_light():
            assert "twisted" not in sys.modules
            assert "netstack.world" not in sys.modules
        """
    )
    run(suite, "-p", "no:pytest_twisted", "-p", "no:twisted").assert_outcomes(passed=1)
