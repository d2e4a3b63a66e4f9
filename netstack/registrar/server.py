"""What the registrar answers over HTTP: pages with forms, a JSON API, RDAP look-ups (RFC 9082, RFC 9083).

Changes are for TLS alone unless `plain` allows otherwise, for they carry secrets. A form is taken from our own pages alone:
it holds a token of ours, and a browser that says it comes from elsewhere is refused.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import unquote

from netstack.http.answers import PRIVATE_PAGE, content, error
from netstack.http.application import Call
from netstack.http.events import Respond
from netstack.http.forms import URLENCODED, Fields, from_elsewhere, media_type_of, parse_form
from netstack.http.wire import BadMessage, Request
from netstack.kernel.machine import Machine
from netstack.registrar.events import Registration
from netstack.registrar.pages import Filled, Pages, Told
from netstack.registrar.policy import Invalid, host_name, unicode_name
from netstack.registrar.registrar import Outcome, Refusal, Registrar, Wish
from netstack.registrar.wire import (
    JSON,
    PROBLEM,
    RDAP,
    encoded,
    problem,
    rdap_domain,
    rdap_error,
    rdap_help,
    rdap_server,
    read_object,
    read_servers,
    read_text,
    read_texts,
    registration_object,
)
from netstack.sansio import Peer

TOKEN_SECONDS = 2 * 3600.0
"""A form that was open for longer has to be sent again."""
PENDING = (
    "The registry has not answered yet. The registrar goes on asking, and the change happens as soon as it does: look again."
)
_HTML = "text/html; charset=utf-8"
_OPEN = b"Access-Control-Allow-Origin: *\r\n"
"""RFC 7480 §5.6: look-ups are for everybody's pages."""
_TITLES = {
    400: "Malformed request", 401: "Secret missing", 403: "Refused", 404: "Not found", 405: "Method not allowed",
    409: "In use", 415: "Unsupported content", 422: "Not accepted", 429: "Too many requests", 502: "The registry refuses",
    503: "Not now",
}  # fmt: skip

Handler = Callable[[Call, str], Respond | Awaitable[Respond]]
"""Gets the call, and the name in the path."""


@dataclass(frozen=True, slots=True)
class _Route:
    """Who answers a method of a place."""

    handler: Handler
    media: str = ""
    """Of the content; empty: none is expected."""


class RegistrarServer:
    """Implements http.application.Application."""

    def __init__(self, machine: Machine, registrar: Registrar, pages: Pages, names: tuple[str, ...], plain: bool) -> None:
        """`names`: the hosts' names that it answers to, any if empty. `plain`: changes are taken without TLS, too."""
        self.registrar = registrar
        self._machine = machine
        self._pages = pages
        self._names = names
        self._plain = plain
        self._key = machine.rng.randbytes(32)
        """Of the forms' tokens; another one in each life of the process."""
        self._routes: dict[tuple[str, str], dict[str, _Route]] = {
            ("", ""): {"GET": _Route(self._home)},
            ("register", ""): {"POST": _Route(self._register_form, URLENCODED)},
            ("manage", ""): {"GET": _Route(self._manage), "POST": _Route(self._manage_form, URLENCODED)},
            ("api/domains", ""): {"POST": _Route(self._register, JSON)},
            ("api/domains/*", ""): {"GET": _Route(self._availability), "DELETE": _Route(self._delete)},
            ("api/domains/*", "servers"): {"PUT": _Route(self._servers, JSON)},
            ("api/domains/*", "renewal"): {"POST": _Route(self._renewal, JSON)},
            ("api/domains/*", "transfer"): {"POST": _Route(self._transfer, JSON)},
            ("rdap/domain/*", ""): {"GET": _Route(self._rdap_domain)},
            ("rdap/nameserver/*", ""): {"GET": _Route(self._rdap_server)},
            ("rdap/help", ""): {"GET": _Route(self._rdap_help)},
        }

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        if self._names and request.host not in self._names:
            return error(421, f"{request.host or 'A request without a host'} is not served.")
        found = self._route(request)
        if found is None:
            return self._wrong(request, 404, f"There is nothing at {request.path[:200]}.")
        methods, route, _ = found
        if route is None:
            allow = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
            return self._wrong(
                request, 405, f"{request.method[:80]} is not for {request.path[:200]}.", f"Allow: {allow}\r\n"
            )
        changes = request.method not in ("GET", "HEAD")
        if changes and peer.security is None and not self._plain:
            return self._wrong(
                request, 403, "Changes are accepted over HTTPS only: a secret must not cross the network in the clear."
            )
        if route.media and media_type_of(request) != route.media:
            said = media_type_of(request)[:80] or "none"
            return self._wrong(
                request, 415, f"The content has to be {route.media}, not {said}.", f"Accept: {route.media}\r\n"
            )
        if route.media == URLENCODED and from_elsewhere(request, peer.security is not None):
            return self._wrong(request, 403, "The form was sent from a page of another site.")
        return None

    async def answer(self, call: Call) -> Respond:
        found = self._route(call.request)
        _, route, name = found or ({}, None, "")
        if route is None:
            return self._wrong(call.request, 404, "There is nothing.")
        try:
            made = route.handler(call, name)
            return made if isinstance(made, Respond) else await made
        except Refusal as refusal:
            return self._wrong(call.request, refusal.status, str(refusal), field=refusal.field)
        except Invalid as invalid:
            status = 400 if self._is_rdap(call.request) else 422
            return self._wrong(call.request, status, str(invalid), field=invalid.field)

    # Places

    def _route(self, request: Request) -> tuple[dict[str, _Route], _Route | None, str] | None:
        """The methods of a place, the one that is asked for, and the name in the path; None where there is no such place."""
        path, name, rest = request.path.strip("/"), "", ""
        for prefix in ("api/domains/", "rdap/domain/", "rdap/nameserver/"):
            if path.startswith(prefix):
                encoded_name, _, rest = path.removeprefix(prefix).partition("/")
                path = prefix + "*"
                try:
                    name = unquote(encoded_name, errors="strict")
                except UnicodeDecodeError:
                    raise BadMessage("the name in the path is not UTF-8 with percent-encoding") from None
        methods = self._routes.get((path, rest))
        if methods is None:
            return None
        return methods, methods.get("GET" if request.method == "HEAD" else request.method), name

    def _wrong(self, request: Request, status: int, reason: str, fields: str = "", field: str = "") -> Respond:
        """An error in the form that whoever asks can read."""
        title, lines = _TITLES.get(status, "Error"), fields.encode()
        if status in (429, 503):
            lines += b"Retry-After: 1\r\n"
        if self._is_rdap(request):
            return content(status, RDAP, encoded(rdap_error(status, title, reason)), lines + _OPEN)
        if request.path.startswith("/api/"):
            return content(status, PROBLEM, encoded(problem(status, title, reason, field)), lines)
        page = self._pages.done(title, "Go back in your browser to try again.", None, "", Told("wrong", reason))
        return content(status, _HTML, page, lines + PRIVATE_PAGE)

    def _is_rdap(self, request: Request) -> bool:
        return request.path.startswith("/rdap/")

    # Pages

    async def _home(self, call: Call, _: str) -> Respond:
        asked = parse_form(call.request.query or "").get("name")
        if not asked:
            return self._html(self._pages.home())
        try:
            name, free, why = await self.registrar.availability(asked)
        except Invalid as invalid:
            return self._html(self._pages.home(asked, Told("wrong", str(invalid))), 422)
        if not free:
            return self._html(self._pages.home(name, Told("wrong", f"{why}: it cannot be registered.")))
        shown = unicode_name(name)
        filled = Filled(((f"dns1.{name}", ""), (f"dns2.{name}", "")))
        return self._html(self._pages.home(name, Told("good", f"{shown} is free."), True, filled, self._token()))

    async def _register_form(self, call: Call, _: str) -> Respond:
        form = self._form(call)
        servers, ds = _servers_of(form), form.get("ds").split("\n")
        wish = Wish(
            form.get("name"), servers, [each for each in map(str.strip, ds) if each], form.get("registrant"),
            form.get("secret"), _number(form.get("years", "1")),
        )  # fmt: skip
        try:
            outcome = await self.registrar.register(wish, _client(call))
        except (Invalid, Refusal) as refusal:
            status = refusal.status if isinstance(refusal, Refusal) else 422
            shown = Filled(_rows(form), wish.registrant, form.get("ds"), form.get("years"))
            page = self._pages.home(wish.name, Told("wrong", _said(refusal)), True, shown, self._token())
            return self._html(page, status)
        title = f"{unicode_name(outcome.registration.name)} is yours"
        advice = (
            "Its top-level domain refers to these name servers now. Who asked for the name before may be told for some "
            "minutes that it does not exist: resolvers remember that, too."
        )
        return self._outcome(outcome, title, advice, 201 if outcome.new else 200)

    async def _manage(self, call: Call, _: str) -> Respond:
        asked = parse_form(call.request.query or "").get("name")
        if not asked:
            return self._html(self._pages.manage("", None, None, ""))
        try:
            name = self.registrar.policy.domain(asked)
        except Invalid as invalid:
            return self._html(self._pages.manage(asked, None, Told("wrong", str(invalid)), ""), 422)
        one = self.registrar.find(name)
        if one is None:
            return self._html(self._pages.manage(name, None, Told("wrong", f"{name} is not registered here."), ""), 404)
        return self._html(self._pages.manage(name, one, None, self._token()))

    async def _manage_form(self, call: Call, _: str) -> Respond:
        form = self._form(call)
        name, secret, client = form.get("name"), form.get("secret"), _client(call)
        shown, action = unicode_name(name), form.get("action")
        registrar = self.registrar
        try:
            if action == "servers":
                ds = [each for each in map(str.strip, form.get("ds").split("\n")) if each]
                outcome = await registrar.change_servers(name, secret, _servers_of(form), ds, client)
                advice = (
                    "Resolvers that know the old servers go on asking them, for two days at most: keep those up so long."
                )
                return self._outcome(outcome, f"{shown} has new name servers", advice)
            if action == "renewal":
                outcome = await registrar.renew(name, secret, _number(form.get("years")), client)
                return self._outcome(outcome, f"{shown} is renewed", "Nothing else has changed.")
            if action == "transfer":
                outcome = await registrar.transfer(name, secret, form.get("registrant"), "", client)
                return self._outcome(outcome, f"{shown} is handed over", "The secret from before is worth nothing now.")
            if action == "deletion":
                outcome = await registrar.delete(name, secret, client)
                advice = "Nobody finds it any more, once caches have forgotten it: after two days at most."
                if not outcome.pending:
                    return self._html(self._pages.done(f"{shown} is deleted", advice, None, ""))
                return self._outcome(outcome, f"{shown} will be deleted", advice)
        except (Invalid, Refusal) as refusal:
            one = registrar.find(name)
            status = refusal.status if isinstance(refusal, Refusal) else 422
            filled = Filled(_rows(form), ds=form.get("ds")) if action == "servers" else None
            return self._html(self._pages.manage(name, one, Told("wrong", _said(refusal)), self._token(), filled), status)
        raise BadMessage("the form does not say what to do")

    def _form(self, call: Call) -> Fields:
        """The fields of a form that is ours; raises BadMessage or Refusal."""
        form = parse_form(call.body)
        if not self._is_token(form.get("token")):
            raise Refusal(403, "The form is too old, or of another page: open it again, and send it from there.")
        return form

    def _outcome(self, outcome: Outcome, title: str, advice: str, status: int = 200) -> Respond:
        told = Told("told", PENDING) if outcome.pending else None
        page = self._pages.done(title, advice, outcome.registration, outcome.secret, told)
        return self._html(page, 202 if outcome.pending else status)

    def _html(self, page: bytes, status: int = 200) -> Respond:
        return content(status, _HTML, page, PRIVATE_PAGE)

    # Tokens of forms

    def _token(self) -> str:
        issued = f"{self._machine.wall():.0f}"
        return f"{issued}.{self._mac(issued)}"

    def _is_token(self, text: str) -> bool:
        issued, _, mac = text.partition(".")
        if not hmac.compare_digest(self._mac(issued).encode(), mac.encode()):
            return False
        return 0 <= self._machine.wall() - int(issued) + 1 <= TOKEN_SECONDS

    def _mac(self, issued: str) -> str:
        return hmac.new(self._key, issued.encode(), sha256).hexdigest()

    # API

    async def _availability(self, call: Call, name: str) -> Respond:
        domain, free, why = await self.registrar.availability(name)
        told: dict[str, object] = {"name": domain, "available": free}
        return content(200, JSON, encoded(told | ({"reason": why} if why else {})), b"Cache-Control: no-store\r\n")

    async def _register(self, call: Call, _: str) -> Respond:
        table = read_object(call.body, ("name", "servers", "ds", "registrant", "secret", "years"))
        wish = Wish(
            read_text(table, "name"), read_servers(table), read_texts(table, "ds"), read_text(table, "registrant"),
            read_text(table, "secret"), table.get("years", 1),
        )  # fmt: skip
        outcome = await self.registrar.register(wish, _client(call))
        fields = f"Location: /rdap/domain/{outcome.registration.name}\r\n".encode()
        return self._told(outcome, 201 if outcome.new else 200, fields)

    async def _servers(self, call: Call, name: str) -> Respond:
        secret = _bearer(call)
        table = read_object(call.body, ("servers", "ds"))
        servers, ds = read_servers(table), read_texts(table, "ds")
        return self._told(await self.registrar.change_servers(name, secret, servers, ds, _client(call)))

    async def _renewal(self, call: Call, name: str) -> Respond:
        secret = _bearer(call)
        table = read_object(call.body, ("years",))
        return self._told(await self.registrar.renew(name, secret, table.get("years", 1), _client(call)))

    async def _transfer(self, call: Call, name: str) -> Respond:
        secret = _bearer(call)
        table = read_object(call.body, ("registrant", "secret"))
        told, fresh = read_text(table, "registrant"), read_text(table, "secret")
        return self._told(await self.registrar.transfer(name, secret, told, fresh, _client(call)))

    async def _delete(self, call: Call, name: str) -> Respond:
        outcome = await self.registrar.delete(name, _bearer(call), _client(call))
        return self._told(outcome) if outcome.pending else Respond(204, b"")

    def _told(self, outcome: Outcome, status: int = 200, fields: bytes = b"") -> Respond:
        told = registration_object(outcome.registration, "pending" if outcome.pending else "registered")
        if outcome.secret:
            told["secret"] = outcome.secret
        if outcome.pending:
            told["detail"] = PENDING
        return content(202 if outcome.pending else status, JSON, encoded(told), fields + b"Cache-Control: no-store\r\n")

    # RDAP

    def _rdap_domain(self, call: Call, name: str) -> Respond:
        one = self._registered(name)
        self.registrar.counts.lookups += 1
        pending = one.name in self.registrar.store.intended
        told = rdap_domain(one, self._base(call), self._machine.wall(), self._machine.name, pending)
        return content(200, RDAP, encoded(told), _OPEN)

    def _rdap_server(self, call: Call, name: str) -> Respond:
        server = self.registrar.server(host_name("nameserver", name))
        self.registrar.counts.lookups += 1
        if server is None:
            raise Refusal(404, f"{name[:80]} is the name server of no domain that is registered here.")
        return content(200, RDAP, encoded(rdap_server(server, self._base(call))), _OPEN)

    def _rdap_help(self, call: Call, _: str) -> Respond:
        self.registrar.counts.lookups += 1
        return content(200, RDAP, encoded(rdap_help()), _OPEN)

    def _registered(self, name: str) -> Registration:
        domain = host_name("domain", name)
        one = self.registrar.find(domain)
        if one is None:
            self.registrar.counts.lookups += 1
            raise Refusal(404, f"{domain} is not registered here.")
        return one

    def _base(self, call: Call) -> str:
        request, scheme = call.request, "https" if call.secure else "http"
        port = "" if request.port in (None, 443 if call.secure else 80) else f":{request.port}"
        return f"{scheme}://{request.host or self._machine.name}{port}/rdap/"


def _bearer(call: Call) -> str:
    """The secret of a request (RFC 6750 §2.1); raises Refusal."""
    scheme, _, secret = call.request.fields.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Refusal(401, "The domain's secret is needed: Authorization: Bearer SECRET.", "secret")
    return secret.strip()


def _client(call: Call) -> str:
    return call.peer.remote[0]


def _rows(form: Fields) -> tuple[tuple[str, str], ...]:
    """The lines of the form's name servers that are filled in."""
    addresses = form.every("addresses")
    named = enumerate(form.every("server"))
    return tuple((name, addresses[at] if at < len(addresses) else "") for at, name in named if name)


def _servers_of(form: Fields) -> list[tuple[str, list[str]]]:
    return [(name, addresses.replace(",", " ").split()) for name, addresses in _rows(form)]


def _number(text: str) -> object:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else text


def _said(refusal: Exception) -> str:
    """As a sentence; names keep their letters."""
    text = str(refusal)
    begun = text if "." in text.partition(" ")[0] else text[:1].upper() + text[1:]
    return begun + ("" if text.endswith(".") else ".")
