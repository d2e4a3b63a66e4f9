"""A shop with `--workers`: one database for all of them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.addresses import own_address
from tests.processes import running, twistd
from tests.shop.killed import PORT, Customer, hidden


@pytest.mark.slow
def test_every_worker_knows_every_visitor(tmp_path: Path) -> None:
    """Requests go over new connections, so that the kernel spreads them."""
    address = own_address()
    (tmp_path / "site").mkdir()
    command = twistd(
        "netstack-origin", f"--listen=tcp:{PORT}:interface={address}", f"--site=www.bigshop.test={tmp_path}/site",
        "--mount=/=shop", "--cleartext", f"--state={tmp_path}/state", "--workers=2",
    )  # fmt: skip
    with running(*command, ready="serves HTTP"):
        customers = [Customer(address) for _ in range(6)]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(Customer.arrive, customers))
            numbers = [customer.cookie.partition("=")[2].partition("-")[0] for customer in customers]
            assert sorted(map(int, numbers)) == list(range(1678, 1684)), "each has its own"

            def buy(customer: Customer) -> list[str]:
                _, _, page = customer.ask("GET", "/product/mug")
                form = {"token": hidden(page, "token"), "product": "mug", "once": hidden(page, "once")}
                return [customer.ask("POST", "/buy", form)[1] for _ in range(6)]

            places = list(pool.map(buy, customers))
        assert all(len(set(each)) == 1 for each in places), "the same click is one order, whoever takes it"
        assert len({each[0] for each in places}) == 6
        for customer, number in zip(customers, numbers, strict=True):
            for _ in range(4):
                assert f"visitor {number}" in customer.ask("GET", "/you")[2]
