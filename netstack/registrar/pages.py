"""The registrar's pages: plain HTML forms, which work without JavaScript. Every value is escaped by the templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from netstack.registrar.events import Registration
from netstack.registrar.policy import Policy, unicode_name
from netstack.registrar.wire import timestamp

if TYPE_CHECKING:
    from jinja2 import Environment

ROWS = 4
_YEARS = (1, 2, 3, 5, 10)


@dataclass(frozen=True, slots=True)
class Told:
    """A line above the page: `kind` is "good", "wrong" or "told"."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Filled:
    """What a form shows as filled in already."""

    servers: Sequence[tuple[str, str]] = ()
    """Names, each with its addresses."""
    registrant: str = ""
    ds: str = ""
    years: str = "1"


class Pages:
    """The pages of one registrar."""

    def __init__(self, registrar: str, policy: Policy) -> None:
        self._registrar = registrar
        self._policy = policy

    @cached_property
    def _environment(self) -> "Environment":
        """Made for the first page: a world that nobody looks at loads no templates."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        loader = PackageLoader("netstack.registrar", "templates")
        made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, auto_reload=False)
        made.globals.update(
            registrar=self._registrar,
            registries=list(self._policy.registries),
            least=self._policy.least_servers,
            years=[each for each in _YEARS if each <= self._policy.most_years],
        )
        return made

    def home(
        self, name: str = "", told: Told | None = None, form: bool = False, filled: Filled | None = None, token: str = ""
    ) -> bytes:
        """Where a name is looked up; with `form` it can be registered."""
        values = filled or Filled()
        return self._page(
            "home", name=name, shown=unicode_name(name), told=told, form=form, values=values,
            rows=self._rows(values.servers), token=token,
        )  # fmt: skip

    def manage(
        self, name: str, one: Registration | None, told: Told | None, token: str, filled: Filled | None = None
    ) -> bytes:
        """What can be done with a domain; without one, which it is."""
        servers = () if one is None else tuple((each.name, ", ".join(each.addresses)) for each in one.delegation.servers)
        values = filled or Filled(servers, ds="" if one is None else "\n".join(one.delegation.ds))
        return self._page(
            "manage", name=name, one=one, shown=unicode_name(name), told=told, token=token, values=values,
            rows=self._rows(values.servers), expires="" if one is None else timestamp(one.expires)[:10],
        )  # fmt: skip

    def done(self, title: str, advice: str, one: Registration | None, secret: str, told: Told | None = None) -> bytes:
        """What has happened."""
        return self._page(
            "done", title=title, advice=advice, one=one, secret=secret, told=told,
            shown="" if one is None else unicode_name(one.name), expires="" if one is None else timestamp(one.expires)[:10],
        )  # fmt: skip

    def _rows(self, servers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        rows = list(servers)
        return rows + [("", "")] * (max(ROWS, len(rows)) - len(rows))

    def _page(self, template: str, **values: object) -> bytes:
        return self._environment.get_template(f"{template}.html").render(**values).encode()
