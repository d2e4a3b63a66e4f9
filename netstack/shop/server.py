"""The shop: knows its visitors by a cookie (RFC 6265bis), keeps what they look at and buy, answers by HTML pages."""

import hmac
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import quote

from twisted.logger import Logger

from netstack.http.answers import PRIVATE_PAGE, content, error
from netstack.http.application import Call
from netstack.http.cookies import parse_cookies, set_cookie
from netstack.http.events import Respond
from netstack.http.forms import URLENCODED, Fields, from_elsewhere, media_type_of, parse_form
from netstack.http.wire import BadMessage, Request
from netstack.kernel.database import Database, DatabaseBusy, DatabaseLimits
from netstack.kernel.disk import Disk
from netstack.kernel.machine import Machine
from netstack.sansio import Peer
from netstack.shop import store
from netstack.shop.catalogue import PRODUCTS, Product
from netstack.shop.limits import ShopLimits
from netstack.shop.metrics import counts
from netstack.shop.pages import Pages, View
from netstack.shop.store import Known, NotTaken, Visitor

COOKIE = "visitor"
SECURE_COOKIE = "__Host-visitor"
"""Under TLS: a browser takes it from this very host alone, and sends it to nobody else (RFC 6265bis §4.1.3.2)."""
_HTML = "text/html; charset=utf-8"
_PLACES = {
    "/": ("GET",), "/cart": ("GET", "POST"), "/account": ("GET", "POST"), "/you": ("GET", "POST"), "/buy": ("POST",),
    "/orders": ("GET",),
}  # fmt: skip
_log = Logger()


class Refused(Exception):
    """A request that changes nothing: status, what to tell the visitor, and the reason that is counted."""

    def __init__(self, status: int, text: str, reason: str) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason


class ShopServer:
    """Implements http.application.Application at `/`."""

    def __init__(self, machine: Machine, disk: Disk, limits: ShopLimits, database: DatabaseLimits, plain: bool) -> None:
        """`disk`: where its database is. `plain`: addresses and orders are taken without TLS, too."""
        self.database = Database(disk, store.FILE, store.schema(limits), database, machine.offload)
        self.counts = counts(machine.registry)
        self._machine = machine
        self._limits = limits
        self._plain = plain
        self._pages = Pages(machine.name, limits.text)
        self._full = False
        """That no visitor can be forgotten for another one was told."""

    def close(self) -> None:
        """When all is answered."""
        self.database.close()

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        product = request.path.startswith("/product/")
        methods = ("GET",) if product and request.path.removeprefix("/product/") in PRODUCTS else _PLACES.get(request.path)
        if methods is None:
            return self._told(404, f"There is nothing at {request.path[:200]}.")
        if request.method not in methods and not (request.method == "HEAD" and "GET" in methods):
            allow = ", ".join((*methods, *(["HEAD"] if "GET" in methods else [])))
            return error(405, f"{request.method[:80]} is not for {request.path[:200]}.", f"Allow: {allow}\r\n".encode())
        if request.method != "POST":
            return None
        if media_type_of(request) != URLENCODED:
            return self._refused(Refused(415, "What is sent here has to be a form.", "wrong"), f"Accept: {URLENCODED}\r\n")
        if from_elsewhere(request, peer.security is not None):
            return self._refused(Refused(403, "The form was sent from a page of another site.", "elsewhere"))
        if peer.security is None and not self._plain and request.path != "/cart":
            return self._refused(Refused(403, "Addresses and orders are taken over HTTPS only.", "plain"))
        return None

    async def answer(self, call: Call) -> Respond:
        try:
            return await (self._post(call) if call.request.method == "POST" else self._get(call))
        except Refused as refused:
            return self._refused(refused)
        except NotTaken as reason:
            return self._refused(Refused(422, str(reason), "wrong"))
        except DatabaseBusy:
            return self._refused(Refused(503, "Too many are in the shop at once. Try again in a moment.", "busy"))
        except sqlite3.Error as trouble:
            _log.error("{name}: the database fails: {trouble}", name=self._machine.name, trouble=trouble)
            return self._refused(Refused(503, "The shop cannot reach its books just now; nothing was changed.", "full"))

    # Pages

    async def _get(self, call: Call) -> Respond:
        """A page; who is not known yet gets a number, unless the page is about what the shop knows already."""
        request = call.request
        wall, cookie, fresh = self._machine.wall(), self._cookie(call), self._secret()
        looks = request.method == "GET" and request.path not in ("/you", "/orders")
        page, limits = request.path, self._limits

        def work(database: sqlite3.Connection) -> tuple[Known | None, bool]:
            visitor = store.recognise(database, cookie)
            new = visitor is None and looks
            if new:
                visitor = store.welcome(database, fresh, wall, limits)
            if visitor is None:
                return None, new
            if looks:
                store.look(database, visitor, page, wall, limits)
            return store.known(database, visitor), False

        known, unknown = await self.database.run(work)
        if unknown and not self._full:
            self._full = True
            _log.warn("{name}: new visitors are not remembered, `visitors` are known", name=self._machine.name)
        fields = b""
        if known is not None and known.visitor.before is None:
            self.counts.visitors += 1
            fields = self._set_cookie(call, known.visitor.cookie)
        elif known is not None:
            self.counts.returns += 1
        query = parse_form(request.query or "")
        shown = self._shown(known, query, request)
        return content(200, _HTML, shown, PRIVATE_PAGE + fields)

    def _shown(self, known: Known | None, query: Fields, request: Request) -> bytes:
        view, pages = self._view(known), self._pages
        recommended = [] if known is None else store.recommended(known.views, known.orders)
        if request.path == "/":
            return pages.home(view, recommended)
        if request.path == "/cart":
            return pages.cart(view)
        if request.path == "/account":
            wanted = query.get("for")
            told = "Tell the shop once where you live, and from then on one click buys." if wanted in PRODUCTS else ""
            return pages.account(self._view(known, told), wanted if wanted in PRODUCTS else "")
        if request.path == "/orders":
            asked = query.get("numbers").split("-")
            return pages.bought(view, [each for each in known.orders if str(each.number) in asked] if known else [])
        if request.path == "/you":
            return pages.you(view)
        return pages.product(view, PRODUCTS[request.path.removeprefix("/product/")], recommended)

    # Changes

    async def _post(self, call: Call) -> Respond:
        """A change, acknowledged (303) once it is durable."""
        form, cookie = parse_form(call.body), self._cookie(call)
        change = self._change(call.request.path, form)

        def work(database: sqlite3.Connection) -> tuple[str, int]:
            visitor = store.recognise(database, cookie)
            if visitor is None:
                raise Refused(403, "The shop does not know you: cookies have to be on. Open the page again.", "cookie")
            if not hmac.compare_digest(_token(visitor.cookie).encode(), form.get("token").encode("utf-8", "replace")):
                raise Refused(403, "The form is of another visitor: open the page again, and send it from there.", "token")
            return change(database, visitor)

        place, orders = await self.database.run(work)
        self.counts.orders += orders
        fields = b"Location: " + place.encode() + b"\r\n" + PRIVATE_PAGE
        if call.request.path == "/you":
            fields += self._set_cookie(call, "")
        return Respond(303, fields)

    def _change(self, path: str, form: Fields) -> Callable[[sqlite3.Connection, Visitor], tuple[str, int]]:
        """What a form asks for: a function that does it, and says where to go on and how much was bought."""
        wall, limits = self._machine.wall(), self._limits
        if path == "/you":

            def forgotten(database: sqlite3.Connection, visitor: Visitor) -> tuple[str, int]:
                store.forget(database, visitor)
                return "/you", 0

            return forgotten
        if path == "/account":
            name, address, wanted = (" ".join(form.get(each).split()) for each in ("name", "address", "for"))
            if not name or not address or max(len(name), len(address)) > limits.text:
                raise Refused(422, f"A name and an address are needed, of at most {limits.text} characters each.", "wrong")

            def registered(database: sqlite3.Connection, visitor: Visitor) -> tuple[str, int]:
                store.register(database, visitor, name, address)
                return (f"/product/{wanted}" if wanted in PRODUCTS else "/account"), 0

            return registered
        slug = form.get("product")
        product = PRODUCTS.get(slug)
        if product is None and (slug or path == "/cart"):
            raise Refused(422, f"The shop does not sell {slug[:80] or 'nothing'}.", "wrong")
        return self._put(product, form) if path == "/cart" and product is not None else self._buy(product, form, wall)

    def _put(self, product: Product, form: Fields) -> Callable[[sqlite3.Connection, Visitor], tuple[str, int]]:
        change = {"add": 1, "remove": -1, "clear": -self._limits.pieces}.get(form.get("action", "add"))
        if change is None:
            raise BadMessage("the form does not say what to do with the cart")

        def put(database: sqlite3.Connection, visitor: Visitor) -> tuple[str, int]:
            store.put(database, visitor, product, change, self._limits)
            return "/cart", 0

        return put

    def _buy(
        self, product: Product | None, form: Fields, wall: float
    ) -> Callable[[sqlite3.Connection, Visitor], tuple[str, int]]:
        once = form.get("once")
        if not 16 <= len(once) <= 64 or not once.isalnum() or not once.isascii():
            raise Refused(422, "The form is not whole: open the page again, and send it from there.", "wrong")

        def buy(database: sqlite3.Connection, visitor: Visitor) -> tuple[str, int]:
            if not visitor.registered:
                return f"/account?for={quote(product.slug) if product else ''}", 0
            orders, new = store.buy(database, visitor, product, once, wall, self._limits)
            return f"/orders?numbers={'-'.join(str(order.number) for order in orders)}", len(orders) if new else 0

        return buy

    # Cookies and tokens

    def _cookie(self, call: Call) -> str:
        """What the visitor says to be; empty for nothing. A cookie that came in the clear counts for nothing under TLS."""
        cookies = parse_cookies(call.request.fields.get("cookie", ""))
        return cookies.get(SECURE_COOKIE if call.secure else COOKIE, "")

    def _set_cookie(self, call: Call, value: str) -> bytes:
        """The field that gives a visitor a number, or takes it away."""
        name, seconds = (SECURE_COOKIE if call.secure else COOKIE), self._limits.cookie_days * 86_400
        text = set_cookie(name, value, max_age=seconds if value else 0, path="/", secure=call.secure)
        return f"Set-Cookie: {text}\r\n".encode()

    def _secret(self) -> str:
        return self._machine.rng.randbytes(16).hex()

    def _view(self, known: Known | None, told: str = "", wrong: bool = False) -> View:
        token = "" if known is None else _token(known.visitor.cookie)
        return View(known, token, self._secret(), told, wrong)

    def _refused(self, refused: Refused, fields: str = "") -> Respond:
        self.counts.refusals[refused.reason] += 1
        if refused.status == 503:
            fields += "Retry-After: 1\r\n"
        return self._told(refused.status, str(refused), fields)

    def _told(self, status: int, text: str, fields: str = "") -> Respond:
        title = {404: "Not found", 503: "Not now"}.get(status, "That did not work")
        page = self._pages.plain(View(None, told=text, wrong=True), title)
        return content(status, _HTML, page, fields.encode() + PRIVATE_PAGE)


def _token(cookie: str) -> str:
    """Of a visitor's forms: only who has the cookie can tell it, and it says nothing about the cookie."""
    return hmac.new(cookie.encode(), b"form", sha256).hexdigest()
