"""A shop that is killed while people buy, and what is there afterwards."""

import http.client
import os
import re
import signal
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlencode

from tests.addresses import own_address
from tests.processes import PATIENCE, Running, twistd

PORT = 18089
CUSTOMERS = 4


class Customer:
    """Buys again and again, until the shop is gone; remembers what was acknowledged."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookie = ""
        self.orders: set[str] = set()
        self.begun = Event()
        self.trouble: list[object] = []
        self._thread: Thread | None = None

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, Location and page."""
        fields = {"Cookie": self.cookie} if self.cookie else {}
        if form is not None:
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        client = http.client.HTTPConnection(self.address, PORT, timeout=20)
        try:
            client.request(method, path, urlencode(form) if form is not None else None, fields)
            answer = client.getresponse()
            told = answer.getheader("Set-Cookie")
            if told:
                self.cookie = told.partition(";")[0]
            return answer.status, answer.getheader("Location") or "", answer.read().decode()
        finally:
            client.close()

    def arrive(self) -> None:
        _, _, page = self.ask("GET", "/account")
        form = {"token": hidden(page, "token"), "name": "Susan", "address": "1 Packet Lane"}
        assert self.ask("POST", "/account", form)[0] == 303

    def start(self) -> None:
        self.begun.clear()
        self._thread = Thread(target=self._buy)
        self._thread.start()

    def join(self) -> None:
        assert self._thread is not None
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert self.trouble == []

    def _buy(self) -> None:
        while True:
            try:
                _, _, page = self.ask("GET", "/product/mug")
                form = {"token": hidden(page, "token"), "product": "mug", "once": hidden(page, "once")}
                status, place, page = self.ask("POST", "/buy", form)
            except (OSError, http.client.HTTPException):
                return
            if status != 303 or "numbers=" not in place:
                self.trouble.append((status, place, page))
                return
            self.orders.add(place.rpartition("=")[2])
            self.begun.set()


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found, page
    return found[1]


def killed_while_people_buy(directory: Path, times: int) -> int:
    """Kill -9 again and again; fails where an acknowledged order is lost or a visitor unknown. How many orders."""
    address = own_address()
    (directory / "site").mkdir()
    command = twistd(
        "netstack-origin", f"--listen=tcp:{PORT}:interface={address}", f"--site=www.bigshop.test={directory}/site",
        "--mount=/=shop", "--cleartext", f"--state={directory}/state", "--no-access-log", "--shop-orders=100000",
    )  # fmt: skip
    customers = [Customer(address) for _ in range(CUSTOMERS)]
    for run in range(times + 1):
        server = Running(command, {**os.environ})
        server.wait_for("serves HTTP", seconds=60)
        if run == 0:
            for customer in customers:
                customer.arrive()
        for customer in customers:
            place = f"/orders?numbers={'-'.join(sorted(customer.orders))}"
            for _ in range(2):
                _, _, page = customer.ask("GET", place)
                found = set(re.findall(r"Order (\d+)", page))
                assert found == customer.orders, f"run {run}: {customer.orders - found} lost"
        if run == times:
            assert server.end() in (0, -signal.SIGTERM)
            assert server.trouble() == []
            break
        for customer in customers:
            customer.start()
        assert all(customer.begun.wait(PATIENCE) for customer in customers), server.log
        for _ in range(run % 5):
            server.wait_a_little()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(PATIENCE)
        for customer in customers:
            customer.join()
    return sum(len(customer.orders) for customer in customers)
