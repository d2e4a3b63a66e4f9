"""Applications of a Web server, composed from `PATH=NAME`: the shop, the chapter's forms, and any WSGI application."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from netstack.http.application import Application, ApplicationLimits
from netstack.http.mounts import Mounts
from netstack.http.wsgi import WSGIApplication, WSGILimits, load
from netstack.kernel.database import DatabaseLimits
from netstack.kernel.disk import Disk
from netstack.kernel.machine import Machine
from netstack.sansio.bounds import bounds_of
from netstack.shop.limits import ShopLimits

NAMES = ("search", "shop", "tracker", "upload")
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_APPLICATION, _DATABASE, _SHOP, _WSGI = ApplicationLimits(), DatabaseLimits(), ShopLimits(), WSGILimits()
_GIVEN: tuple[tuple[str, Any, str, str], ...] = (
    ("bodies", _APPLICATION, "bodies", "Octets of bodies for applications on their way (503)."),
    ("answers", _APPLICATION, "answers", "Requests that applications work on (503)."),
    ("wsgi-content", _WSGI, "content", "Octets of one answer of a WSGI application (500)."),
    ("database-octets", _DATABASE, "octets", "Octets of an application's database (503)."),
    ("database-waiting", _DATABASE, "waiting", "Pieces of work that wait for a database (503)."),
    ("database-together", _DATABASE, "together", "Pieces of work of one commit."),
    ("database-lock", _DATABASE, "lock_seconds", "Seconds for another worker to be done with the database (503)."),
    ("shop-first", _SHOP, "first_visitor", "Number of the shop's first visitor."),
    ("shop-visitors", _SHOP, "visitors", "Visitors that the shop knows."),
    ("shop-views", _SHOP, "views", "Pages that the shop remembers of one visitor."),
    ("shop-cart", _SHOP, "cart", "Products in one cart."),
    ("shop-pieces", _SHOP, "pieces", "Pieces of one product in a cart."),
    ("shop-orders", _SHOP, "orders", "Orders that the shop keeps of one visitor."),
    ("shop-text", _SHOP, "text", "Characters of a name, and of an address."),
    ("shop-cookie-days", _SHOP, "cookie_days", "Days for which a browser keeps the visitor's number."),
)


@dataclass(frozen=True, slots=True)
class Mounting:
    """Which applications there are, and their bounds. Raises ValueError that names the field and what was expected."""

    mount: tuple[str, ...] = ()
    wsgi: tuple[str, ...] = ()
    cleartext: bool = False
    shop: ShopLimits = field(default_factory=ShopLimits)
    database: DatabaseLimits = field(default_factory=DatabaseLimits)
    application: ApplicationLimits = field(default_factory=ApplicationLimits)
    answers: WSGILimits = field(default_factory=WSGILimits)

    def __post_init__(self) -> None:
        seen: set[str] = set()
        shops = 0
        for name, texts in (("mount", self.mount), ("wsgi", self.wsgi)):
            for text in texts:
                path, equals, what = text.partition("=")
                if not equals or not _PATH.fullmatch(path) or "//" in path or (path.endswith("/") and path != "/"):
                    raise ValueError(f"{name}: {text!r}: expected PATH=NAME with a path such as /animalsearch")
                if path in seen:
                    raise ValueError(f"{name}: {path} is given twice")
                seen.add(path)
                if name == "wsgi":
                    load(what)
                elif what not in NAMES:
                    raise ValueError(f"mount: {what!r} is no application; expected one of {', '.join(NAMES)}")
                elif what == "shop":
                    shops += 1
                    if path != "/" or shops > 1:
                        raise ValueError("mount: the shop has a host of its own: expected /=shop")


def parameters(read: Callable[[str, type[Any]], Callable[[str], float]]) -> list[list[Any]]:
    """optParameters of the bounds; `read` makes the function that reads an option's value."""
    made = []
    for option, bounds, name, told in _GIVEN:
        default = getattr(bounds, name)
        made.append([option, None, default, told, read(option, type(default))])
    return made


def chosen(options: Any) -> dict[str, Any]:
    """The bounds that a command line gives, as fields of the Config."""
    kinds = {"application": ApplicationLimits, "wsgi_limits": WSGILimits, "database": DatabaseLimits, "shop": ShopLimits}
    return {
        key: bounds_of(kind, options, {option: name for option, bounds, name, _ in _GIVEN if isinstance(bounds, kind)})
        for key, kind in kinds.items()
    }


def mounts(mounting: Mounting, machine: Machine, disk: Disk) -> tuple[Mounts, list[Callable[[], None]]]:
    """The applications, whose files are on `disk`, and what to call when all is answered."""
    from netstack.http.examples import Search, Tracker, Upload

    found: dict[str, Application] = {}
    closers: list[Callable[[], None]] = []
    for text in mounting.mount:
        path, _, what = text.partition("=")
        if what == "shop":
            from netstack.shop.server import ShopServer

            shop = ShopServer(machine, disk, mounting.shop, mounting.database, mounting.cleartext)
            closers.append(shop.close)
            found[path] = shop
        else:
            made: Mapping[str, Callable[[], Application]] = {
                "search": partial(Search, path),
                "upload": partial(Upload, path),
                "tracker": partial(Tracker, path, machine.rng.randbytes),
            }
            found[path] = made[what]()
    for text in mounting.wsgi:
        path, _, what = text.partition("=")
        found[path] = WSGIApplication(machine, load(what), path, mounting.answers)
    longest_first = sorted(found.items(), key=lambda item: -len(item[0]))
    return Mounts(dict(longest_first)), closers
