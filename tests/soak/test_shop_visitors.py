"""10^4 visitors that never come back, as a crawler makes them: the shop's memory stays, its file is bounded."""

import http.client
from pathlib import Path

import pytest

from tests.addresses import own_address
from tests.processes import running, twistd

PORT, VISITORS, KNOWN = 18089, 10_000, 2_000


@pytest.mark.timeout(600)
def test_ten_thousand_visitors(tmp_path: Path) -> None:
    address = own_address()
    (tmp_path / "site").mkdir()
    command = twistd(
        "netstack-origin", f"--listen=tcp:{PORT}:interface={address}", f"--site=www.bigshop.test={tmp_path}/site",
        "--mount=/=shop", f"--state={tmp_path}/state", f"--shop-visitors={KNOWN}", "--max-requests=0",
    )  # fmt: skip
    with running(*command, ready="serves HTTP") as server:
        client = http.client.HTTPConnection(address, PORT, timeout=20)
        resident, file = 0, 0
        for number in range(VISITORS):
            client.request("GET", "/product/mug")
            answer = client.getresponse()
            answer.read()
            assert (answer.getheader("Set-Cookie") or "").startswith(f"visitor={1678 + number}-")
            if number == KNOWN + 500:
                resident, file = server.resident(), (tmp_path / "state/shop.sqlite").stat().st_size
        assert server.resident() < resident + 10 * 1024 * 1024
        assert (tmp_path / "state/shop.sqlite").stat().st_size < 2 * file
        client.close()
