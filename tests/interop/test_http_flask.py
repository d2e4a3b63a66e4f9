"""A site on Flask behind the origin: sessions, forms, redirects, an upload, a streamed answer, mistakes of its author."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import httpx
import pytest
import requests

from tests.addresses import own_address
from tests.processes import Running, running, twistd

Started = tuple[str, Running]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    directory: Path = tmp_path_factory.mktemp("site")
    (directory / "index.html").write_text("files beside it")
    address = own_address()
    command = twistd(
        "netstack-origin", f"--site=www.someschool.edu={directory}", f"--listen=tcp:8080:interface={address}",
        "--wsgi=/blog=tests.interop.flask_site:app", "--no-access-log",
    )  # fmt: skip
    with running(*command, ready="serves HTTP on") as process:
        yield f"http://{address}:8080", process


def test_a_session_lasts_as_long_as_its_cookie(site: Started) -> None:
    url, _ = site
    with requests.Session() as browser:
        found = [browser.get(f"{url}/blog/").json() for _ in range(3)]
    assert [each["visits"] for each in found] == [1, 2, 3]
    assert (found[0]["path"], found[0]["root"], found[0]["url"]) == ("/", "/blog", f"{url}/blog/")
    assert requests.get(f"{url}/blog/").json()["visits"] == 1
    assert requests.get(f"{url}/").text == "files beside it"


def test_a_form_is_answered_by_a_redirect_within_the_mount(site: Started) -> None:
    url, _ = site
    with requests.Session() as browser:
        answer = browser.post(f"{url}/blog/form", {"name": "Jürgen & Söhne"})
    assert [(each.status_code, each.headers["Location"]) for each in answer.history] == [(302, "/blog/thanks")]
    assert answer.json() == {"messages": ["thank you, Jürgen & Söhne"]}


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_an_upload_comes_whole(site: Started, version: str) -> None:
    url, _ = site
    content = Random(1).randbytes(300_000)
    with httpx.Client(http1=version == "HTTP/1.1", http2=version == "HTTP/2") as client:
        answer = client.post(f"{url}/blog/upload", files={"picture": ("kiwi.gif", content, "image/gif")})
        put = client.put(f"{url}/blog/echo/a%20b/ü%2Fx", content=iter([b"in ", b"chunks"]))
    assert (answer.http_version, answer.json()) == (version, {
        "name": "kiwi.gif", "media": "image/gif", "octets": 300_000, "digest": sha256(content).hexdigest(),
    })  # fmt: skip
    assert (put.status_code, put.content) == (201, b"in chunks")
    assert bytes.fromhex(put.headers["X-Rest"]).decode() == "a b/ü/x"


def test_a_streamed_answer_and_its_head(site: Started) -> None:
    url, _ = site
    answer = requests.get(f"{url}/blog/stream")
    assert answer.text == "".join(f"line {number}\n" for number in range(1000))
    head = requests.head(f"{url}/blog/stream")
    assert (head.status_code, head.headers.get("Content-Length"), head.content) == (200, None, b"")
    index = requests.head(f"{url}/blog/")
    assert index.headers["Content-Length"] == requests.get(f"{url}/blog/").headers["Content-Length"]


def test_what_it_refuses_is_its_own_answer(site: Started) -> None:
    url, _ = site
    assert requests.delete(f"{url}/blog/").status_code == 405
    assert requests.delete(f"{url}/blog/").headers["Allow"] == requests.options(f"{url}/blog/").headers["Allow"]
    assert requests.get(f"{url}/blog/nothing").status_code == 404
    assert requests.post(f"{url}/blog/form", {"other": "x"}).status_code == 400


@pytest.mark.parametrize("path", ["broken", "broken-later"])
def test_a_mistake_of_its_author_is_500_and_in_the_log(site: Started, path: str) -> None:
    url, process = site
    answer = requests.get(f"{url}/blog/{path}")
    assert answer.status_code == 500
    assert "mistake" not in answer.text
    process.wait_for("RuntimeError: a mistake ")  # the last line of a traceback
    assert any("flask_site.py" in line for line in process.trouble() + process.lines)
    process.lines.clear()  # it is the author's
    assert requests.get(f"{url}/blog/").status_code == 200
