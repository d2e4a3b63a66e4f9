"""What the shop knows about its visitors, in SQLite: each function is work of one transaction (`kernel.database`)."""

import hmac
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from netstack.shop.catalogue import KINDS, PRODUCTS, Product
from netstack.shop.limits import ShopLimits

FILE = "shop.sqlite"


def schema(limits: ShopLimits) -> Sequence[str]:
    """Statements that make what is not there yet."""
    return (
        "CREATE TABLE IF NOT EXISTS visitor (number INTEGER PRIMARY KEY AUTOINCREMENT, secret BLOB NOT NULL,"
        " created REAL NOT NULL, seen REAL NOT NULL, kept INTEGER NOT NULL DEFAULT 0,"
        " name TEXT NOT NULL DEFAULT '', address TEXT NOT NULL DEFAULT '')",
        "CREATE INDEX IF NOT EXISTS visitor_seen ON visitor (kept, seen)",
        "CREATE TABLE IF NOT EXISTS view (number INTEGER PRIMARY KEY, page TEXT NOT NULL, at REAL NOT NULL,"
        " visitor INTEGER NOT NULL REFERENCES visitor ON DELETE CASCADE)",
        "CREATE INDEX IF NOT EXISTS view_visitor ON view (visitor, number)",
        "CREATE TABLE IF NOT EXISTS cart (visitor INTEGER NOT NULL REFERENCES visitor ON DELETE CASCADE,"
        " product TEXT NOT NULL, pieces INTEGER NOT NULL, PRIMARY KEY (visitor, product)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS purchase (number INTEGER PRIMARY KEY AUTOINCREMENT, once TEXT NOT NULL,"
        " visitor INTEGER NOT NULL REFERENCES visitor ON DELETE CASCADE, product TEXT NOT NULL, pieces INTEGER NOT NULL,"
        " cents INTEGER NOT NULL, name TEXT NOT NULL, address TEXT NOT NULL, at REAL NOT NULL,"
        " UNIQUE (visitor, once, product))",
        "CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT OR IGNORE INTO fact VALUES ('visitors', 0)",
        "CREATE TRIGGER IF NOT EXISTS arrived AFTER INSERT ON visitor"
        " BEGIN UPDATE fact SET value = value + 1 WHERE name = 'visitors'; END",
        "CREATE TRIGGER IF NOT EXISTS forgotten AFTER DELETE ON visitor"
        " BEGIN UPDATE fact SET value = value - 1 WHERE name = 'visitors'; END",
        f"INSERT INTO sqlite_sequence SELECT 'visitor', {limits.first_visitor - 1} WHERE NOT EXISTS"  # noqa: S608 -- a number
        " (SELECT 1 FROM sqlite_sequence WHERE name = 'visitor')",
    )


class NotTaken(Exception):
    """A change that cannot be; the text says why, for the visitor."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who comes with the cookie `cookie`."""

    number: int
    cookie: str
    created: float
    before: float | None
    """When the visitor was here last; None for the first time."""
    name: str = ""
    address: str = ""

    @property
    def registered(self) -> bool:
        """Whether one click is enough to buy something."""
        return bool(self.name and self.address)


@dataclass(frozen=True, slots=True)
class Order:
    """One product that was bought."""

    number: int
    product: str
    pieces: int
    cents: int
    name: str
    address: str
    at: float


@dataclass(frozen=True, slots=True)
class Known:
    """All that the shop has about a visitor."""

    visitor: Visitor
    views: Sequence[tuple[str, float]]
    """Pages and when they were looked at, the newest first."""
    cart: Sequence[tuple[Product, int]]
    orders: Sequence[Order]


def recognise(database: sqlite3.Connection, cookie: str) -> Visitor | None:
    """Whose cookie this is: a visitor's number, a hyphen, and the secret that came with it."""
    number, hyphen, secret = cookie.partition("-")
    if not hyphen or not (number.isascii() and number.isdigit() and len(number) < 16):
        return None
    row = database.execute(
        "SELECT number, secret, created, seen, name, address FROM visitor WHERE number = ?", (int(number),)
    ).fetchone()
    if row is None or not hmac.compare_digest(row[1], _kept(secret)):
        return None
    return Visitor(row[0], cookie, row[2], row[3], row[4], row[5])


def welcome(database: sqlite3.Connection, secret: str, wall: float, limits: ShopLimits) -> Visitor | None:
    """A new visitor; None when the shop can know no more."""
    [count] = database.execute("SELECT value FROM fact WHERE name = 'visitors'").fetchone()
    if count >= limits.visitors:
        gone = database.execute(
            "DELETE FROM visitor WHERE number IN (SELECT number FROM visitor WHERE kept < 2 ORDER BY kept, seen LIMIT ?)",
            (count - limits.visitors + 1,),
        )
        if gone.rowcount < count - limits.visitors + 1:
            return None
    made = database.execute("INSERT INTO visitor (secret, created, seen) VALUES (?, ?, ?)", (_kept(secret), wall, wall))
    return Visitor(made.lastrowid or 0, f"{made.lastrowid}-{secret}", wall, None)


def look(database: sqlite3.Connection, visitor: Visitor, page: str, wall: float, limits: ShopLimits) -> None:
    """The visitor looks at a page."""
    database.execute("UPDATE visitor SET seen = ? WHERE number = ?", (wall, visitor.number))
    database.execute("INSERT INTO view (visitor, page, at) VALUES (?, ?, ?)", (visitor.number, page, wall))
    database.execute(
        "DELETE FROM view WHERE visitor = ?1 AND number <="
        " (SELECT number FROM view WHERE visitor = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        (visitor.number, limits.views),
    )


def put(database: sqlite3.Connection, visitor: Visitor, product: Product, change: int, limits: ShopLimits) -> None:
    """`change` pieces more or fewer in the cart; raises NotTaken."""
    row = database.execute(
        "SELECT pieces FROM cart WHERE visitor = ? AND product = ?", (visitor.number, product.slug)
    ).fetchone()
    pieces = (row[0] if row else 0) + change
    if pieces > limits.pieces:
        raise NotTaken(f"The cart takes {limits.pieces} pieces of one product.")
    if pieces <= 0:
        database.execute("DELETE FROM cart WHERE visitor = ? AND product = ?", (visitor.number, product.slug))
        return
    [products] = database.execute("SELECT COUNT(*) FROM cart WHERE visitor = ?", (visitor.number,)).fetchone()
    if row is None and products >= limits.cart:
        raise NotTaken(f"The cart takes {limits.cart} different products.")
    database.execute("INSERT OR REPLACE INTO cart VALUES (?, ?, ?)", (visitor.number, product.slug, pieces))
    _keep(database, visitor, 1)


def register(database: sqlite3.Connection, visitor: Visitor, name: str, address: str) -> None:
    """Where to send things from now on."""
    database.execute("UPDATE visitor SET name = ?, address = ? WHERE number = ?", (name, address, visitor.number))
    _keep(database, visitor, 2)


def buy(
    database: sqlite3.Connection, visitor: Visitor, product: Product | None, once: str, wall: float, limits: ShopLimits
) -> tuple[Sequence[Order], bool]:
    """Buys a product, or what is in the cart, for a registered visitor: the orders, and whether they are new.

    The same `once` again buys nothing again. Raises NotTaken.
    """
    before = _orders(database, visitor, "AND once = ?", once)
    if before:
        return before, False
    if product is not None:
        wanted: Sequence[tuple[Product, int]] = ((product, 1),)
    else:
        wanted = cart(database, visitor)
        database.execute("DELETE FROM cart WHERE visitor = ?", (visitor.number,))
    if not wanted:
        raise NotTaken("The cart is empty: there is nothing to buy.")
    [orders] = database.execute("SELECT COUNT(*) FROM purchase WHERE visitor = ?", (visitor.number,)).fetchone()
    if orders + len(wanted) > limits.orders:
        raise NotTaken(f"The shop keeps {limits.orders} orders of one visitor.")
    database.executemany(
        "INSERT INTO purchase (visitor, once, product, pieces, cents, name, address, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (visitor.number, once, each.slug, pieces, each.cents * pieces, visitor.name, visitor.address, wall)
            for each, pieces in wanted
        ],
    )
    _keep(database, visitor, 2)
    return _orders(database, visitor, "AND once = ?", once), True


def forget(database: sqlite3.Connection, visitor: Visitor) -> None:
    """Everything about a visitor."""
    database.execute("DELETE FROM visitor WHERE number = ?", (visitor.number,))


def cart(database: sqlite3.Connection, visitor: Visitor) -> Sequence[tuple[Product, int]]:
    """Products and pieces; what is not sold any more is left out."""
    rows = database.execute("SELECT product, pieces FROM cart WHERE visitor = ? ORDER BY product", (visitor.number,))
    return [(PRODUCTS[slug], pieces) for slug, pieces in rows if slug in PRODUCTS]


def known(database: sqlite3.Connection, visitor: Visitor) -> Known:
    """All about a visitor."""
    views = database.execute(
        "SELECT page, at FROM view WHERE visitor = ? ORDER BY number DESC", (visitor.number,)
    ).fetchall()
    return Known(visitor, views, cart(database, visitor), _orders(database, visitor))


def recommended(views: Sequence[tuple[str, float]], orders: Sequence[Order], most: int = 3) -> Sequence[tuple[Product, str]]:
    """Products that a visitor may like, each with the name of the looked-at product that it is like, the likeliest first.

    The kinds count that were looked at most. What was bought is left out, and what was looked at if there is something else.
    """
    looked = [PRODUCTS[slug] for page, _ in views if (slug := page.removeprefix("/product/")) in PRODUCTS]
    if not looked:
        return []
    bought = {order.product for order in orders}
    weight = {kind: sum(each.kind == kind for each in looked) for kind in KINDS}
    like = {kind: next((each.name for each in looked if each.kind == kind), "") for kind in KINDS}
    seen = {each.slug for each in looked}
    wanted = [each for each in PRODUCTS.values() if weight[each.kind] and each.slug not in bought]
    wanted.sort(key=lambda each: (each.slug in seen, -weight[each.kind]))
    fresh = [each for each in wanted if each.slug not in seen] or wanted
    return [(each, like[each.kind]) for each in fresh[:most]]


def _keep(database: sqlite3.Connection, visitor: Visitor, how: int) -> None:
    """1: the visitor has something in the cart, and is forgotten after those who only looked; 2: has told or bought
    something, and is not forgotten for another one."""
    database.execute("UPDATE visitor SET kept = MAX(kept, ?) WHERE number = ?", (how, visitor.number))


def _orders(database: sqlite3.Connection, visitor: Visitor, further: str = "", *values: str) -> Sequence[Order]:
    rows = database.execute(
        "SELECT number, product, pieces, cents, name, address, at FROM purchase"  # noqa: S608 -- `further` is ours
        f" WHERE visitor = ? {further} ORDER BY number DESC",
        (visitor.number, *values),
    )
    return [Order(*row) for row in rows]


def _kept(secret: str) -> bytes:
    """What is stored of a secret: who reads the database is no visitor yet."""
    return sha256(secret.encode("utf-8", "replace")).digest()
