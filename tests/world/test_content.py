"""Generated content: other people's decoders read the pictures, links lead somewhere, nothing is written twice."""

import re
from io import BytesIO
from pathlib import Path
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from netstack.http.media import media_type
from netstack.kernel.disk import RealDisk
from netstack.world import content
from netstack.world.addresses import addresses
from netstack.world.compose import Composer
from netstack.world.loader import load
from netstack.world.pictures import Picture, kiwi, ramp, scene

WORLD = load("textbook")
TABLE = addresses(WORLD, "simulated")


def site(name: str) -> content.Files:
    return content.files(name, Composer(WORLD, TABLE, b"-----BEGIN CERTIFICATE-----\n").subject(WORLD.hosts["map.test"]))


def pixels(data: bytes) -> tuple[tuple[int, int], bytes]:
    image = Image.open(BytesIO(data))
    image.load()
    return image.size, image.convert("RGB").tobytes()


@pytest.mark.parametrize("picture", [scene(number) for number in range(1, 21)] + [kiwi()], ids=lambda _: "")
def test_png_and_gif_hold_the_same_picture(picture: Picture) -> None:
    png, gif = picture.png(), picture.gif()
    expected = b"".join(bytes(picture.palette[colour]) for row in picture.rows for colour in row)
    assert pixels(png) == pixels(gif) == ((picture.width, picture.height), expected)
    assert 2_000 < len(png) < 20_000
    assert 2_000 < len(gif) < 20_000


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([2, 3, 16, 17, 255, 256]), st.randoms(use_true_random=False))
def test_any_picture_survives(width: int, height: int, colours: int, random: object) -> None:
    picture = Picture(width, height, ramp((0, 0, 0), (255, 254, 253), colours))
    for row in picture.rows:
        row[:] = bytes(random.randrange(colours) for _ in row)  # type: ignore[attr-defined]
    assert pixels(picture.gif()) == pixels(picture.png())


def test_the_ten_images_differ_and_repeat() -> None:
    files = site("someschool")
    images = [files[f"somedepartment/{name}"].make() for name in content.IMAGES]
    assert len(set(images)) == 10
    assert images == [files[f"somedepartment/{name}"].make() for name in content.IMAGES]
    assert len({pixels(image)[1] for image in images}) == 10


def test_browsers_of_a_site_find_its_web_cache() -> None:
    """https://developer.mozilla.org/en-US/docs/Web/HTTP/Guides/Proxy_servers_and_tunneling: a function of URL and host."""
    subject = Composer(WORLD, TABLE).subject(WORLD.hosts["www.someschool.edu"])
    text = content.files("someschool", subject)["wpad.dat"].make().decode()
    port = 3128 + TABLE.port_offset
    assert f'return "PROXY cache.someschool.edu:{port}; DIRECT";' in text
    assert 'host == "someschool.edu" || dnsDomainIs(host, ".someschool.edu")' in text
    assert media_type("someschool/wpad.dat") == media_type("proxy.pac") == "application/x-ns-proxy-autoconfig"
    assert "wpad.dat" not in content.files("plain", Composer(WORLD, TABLE).subject(WORLD.hosts["cnn.com"]))


@pytest.mark.parametrize("name", list(content.CONTENTS))
def test_links_lead_to_files_of_the_site(name: str) -> None:
    files = site(name)
    for path, file in files.items():
        if path.endswith((".html", ".index")):
            page = file.make().decode()
            for link in re.findall(r'(?:src|href)="([^"]+)"', page):
                host = re.fullmatch(r"http://([^/]+)/", link)
                if host:
                    assert any(service.plugin in ("origin", "registrar") for service in WORLD.hosts[host[1]].services)
                    continue
                assert "://" not in link
                assert urljoin("/" + path, link).lstrip("/") in files


def test_the_base_page_has_ten_images() -> None:
    assert site("someschool")["somedepartment/home.index"].make().count(b"<img ") == 10


def test_sizes_and_dates_of_the_chapter() -> None:
    assert len(site("someschool")["somedir/page.html"].make()) == 6821
    assert b'<html lang="fr">' in site("someschool")["somedir/page.html.fr"].make()
    assert b"curl" in site("someschool")["somedir/browser.html@curl"].make()
    assert site("exotiquecuisine")["fruit/kiwi.gif"].modified == 1441790604


def test_the_map_lists_every_host() -> None:
    page = site("map")["index.html"].make().decode()
    assert all(name in page and TABLE.first(name) in page for name in WORLD.hosts)
    assert "<td>dns udp:53 tcp:53 tls:853</td>" in page
    assert '<a href="http://gaia.cs.umass.edu/">' in page
    assert '<a href="http://registrar.networksolutions.test/">' in page
    assert '<a href="http://cse.nyu.edu/">' not in page
    assert "<td>origin tcp:80 tls:443</td>" in page


def test_written_once(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    files = site("someschool")
    assert content.write(disk, "www", files)
    assert disk.read("www/campus.gif") == files["campus.gif"].make()
    assert disk.stat("www/somedir/page.html").mtime == content.PAGE_MODIFIED
    assert not content.write(disk, "www", files)
    disk.remove("www/campus.gif")
    assert content.write(disk, "www", files)
    assert disk.stat("www/campus.gif").size > 0
    assert content.write(disk, "map", site("map"))
    assert (
        disk.stat("map/index.html").mtime > content.PAGE_MODIFIED
    )  # another page in every world: a cache must not mix them
    assert not content.write(disk, "map", site("map"))
    changed = {**files, "new.html": content.File(lambda: b"<p>")}
    assert content.write(disk, "www", changed)
    assert not content.write(disk, "www", changed)
    assert content.write(disk, "www", files)
    with pytest.raises(FileNotFoundError):
        disk.read("www/new.html")
