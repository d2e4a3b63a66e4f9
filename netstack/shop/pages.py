"""The shop's pages: plain HTML forms, which work without JavaScript. Every value is escaped by the templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from netstack.http.values import http_date
from netstack.shop.catalogue import KINDS, PRODUCTS, Product
from netstack.shop.store import Known, Order

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True, slots=True)
class View:
    """What every page shows beside its own: who looks, and what forms need."""

    known: Known | None
    """None for somebody whom the shop does not remember."""
    token: str = ""
    once: str = ""
    told: str = ""
    """A line above the page."""
    wrong: bool = False


class Pages:
    """The pages of one shop."""

    def __init__(self, shop: str, most: int) -> None:
        """`most`: characters of what a visitor may write."""
        self._shop = shop
        self._most = most

    @cached_property
    def _environment(self) -> "Environment":
        """Made for the first page: a world that nobody looks at loads no templates."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        loader = PackageLoader("netstack.shop", "templates")
        made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, auto_reload=False)
        made.globals.update(shop=self._shop, most=self._most, kinds=KINDS, products=list(PRODUCTS.values()), names=_names)
        made.filters.update(money=lambda cents: f"${cents // 100}.{cents % 100:02}", date=http_date, page=_page_name)
        return made

    def home(self, view: View, recommended: Sequence[tuple[Product, str]]) -> bytes:
        """The catalogue, and what this visitor may like."""
        return self._page("home", view, recommended=recommended)

    def product(self, view: View, product: Product, recommended: Sequence[tuple[Product, str]]) -> bytes:
        """One product, with its button for one click."""
        return self._page("product", view, product=product, recommended=recommended)

    def cart(self, view: View) -> bytes:
        """What the visitor wants to buy."""
        return self._page("cart", view)

    def account(self, view: View, wanted: str = "", name: str = "", address: str = "") -> bytes:
        """Where to send things; `wanted` is the product that was clicked on."""
        return self._page("account", view, wanted=wanted, name=name, address=address)

    def you(self, view: View) -> bytes:
        """All that the shop knows about the visitor."""
        return self._page("you", view)

    def bought(self, view: View, orders: Sequence[Order]) -> bytes:
        """Thanks."""
        return self._page("bought", view, orders=orders)

    def plain(self, view: View, title: str) -> bytes:
        """A page with nothing but what is told."""
        return self._page("plain", view, title=title)

    def _page(self, template: str, view: View, **values: object) -> bytes:
        return self._environment.get_template(f"{template}.html").render(view=view, known=view.known, **values).encode()


def _names(slug: str) -> str:
    """A product's name, also where it is not sold any more."""
    return PRODUCTS[slug].name if slug in PRODUCTS else slug


def _page_name(path: str) -> str:
    """A page as people call it."""
    slug = path.removeprefix("/product/")
    return {"/": "The shop's first page", "/cart": "Cart", "/account": "Address"}.get(path) or _names(slug)
