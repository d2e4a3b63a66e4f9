"""DNS over HTTPS of netstack-resolver, both sides: the dns house's messages in the http house's requests (RFC 8484)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from twisted.internet.defer import Deferred, DeferredSemaphore

from netstack.dns.doh import MEDIA, METHODS, Refused, judge, lifetime, message, target
from netstack.dns.forwarders import PORTS, Forwarder
from netstack.dns.limits import ResolverLimits, ServerLimits
from netstack.dns.padding import reply_on_stream
from netstack.dns.recursion import Answers, AskHTTPS
from netstack.dns.wire import HEADER, LARGEST
from netstack.http.answers import content, error
from netstack.http.application import ApplicationLimits, ApplicationServer, Call
from netstack.http.client import ClientOptions, HTTPClient
from netstack.http.events import Respond
from netstack.http.limits import HTTPLimits
from netstack.http.metrics import requests
from netstack.http.service import HTTPService
from netstack.http.wire import Request
from netstack.kernel.limits import StreamLimits
from netstack.kernel.listen import Endpoint
from netstack.kernel.machine import Machine
from netstack.sansio import Peer


class Queries:
    """An application of the http house: at one path, DNS queries and nothing else."""

    def __init__(self, answers: Answers, path: str) -> None:
        self.answers = answers
        self.path = path

    def judge(self, request: Request, peer: Peer) -> Respond | None:
        if request.path != self.path:
            return error(404, f"DNS queries are answered at {self.path}.")
        try:
            judge(request.method, request.fields.get("content-type"), 0 if request.chunked else request.length)
        except Refused as refused:
            return _refusal(refused)
        return None

    def answer(self, call: Call) -> Respond | Deferred[Respond]:
        request = call.request
        try:
            query = message(request.method, request.query, call.body)
        except Refused as refused:
            return _refusal(refused)
        known: Respond | None = None
        answered: Deferred[Respond] | None = None

        def send(reply: bytes | None) -> None:
            nonlocal known
            known = error(400, "No reply is due to this.") if reply is None else _response(query, reply)
            if answered is not None:
                answered.callback(known)

        self.answers.answer(query, call.peer.remote[0], "https", send)
        if known is None:
            answered = Deferred()
        return known or answered or error(500)


def serving(
    machine: Machine, endpoints: Sequence[Endpoint], answers: Answers, path: str, limits: ServerLimits
) -> HTTPService:
    """The service at these endpoints."""
    application = ApplicationServer(
        Queries(answers, path), (machine.name,), ApplicationLimits(), requests(machine.registry), None
    )
    http = HTTPLimits(body=LARGEST, idle_seconds=limits.tcp_idle, body_seconds=limits.tcp_idle)
    connections = replace(machine.limits, connections=limits.tcp_connections)
    return HTTPService(machine, endpoints, application, http, connections, "")


def asking(machine: Machine, forwarders: Mapping[str, Forwarder], limits: ResolverLimits) -> AskHTTPS | None:
    """What asks those of the forwarders that are asked over HTTPS; None without any."""
    clients = {key: _Client(machine, it, limits) for key, it in forwarders.items() if it.proto == "https"}

    def ask(forwarder: Forwarder, query: bytes) -> Deferred[bytes]:
        return Deferred.fromCoroutine(clients[forwarder.key].ask(query))

    return ask if clients else None


class NoMessage(Exception):
    """A server that is asked over HTTPS gave no reply; the text says why."""


class _Client:
    """One server's: so many queries at once, on one connection where it speaks HTTP/2."""

    def __init__(self, machine: Machine, forwarder: Forwarder, limits: ResolverLimits) -> None:
        port = "" if forwarder.port == PORTS["https"] else f":{machine.port(forwarder.port)}"
        self.forwarder = forwarder
        self._origin = f"https://{forwarder.name}{port}"
        self._free = DeferredSemaphore(limits.https_queries)
        options = ClientOptions(
            timeout=limits.deadline,
            connections_per_host=limits.https_queries,
            http2=True,
            user_agent="",
            http=HTTPLimits(body=LARGEST),
            connections=StreamLimits(idle=limits.stream_idle),
        )
        self._client = HTTPClient(replace(machine, resolver=_Known(forwarder.address)), options)

    async def ask(self, query: bytes) -> bytes:
        """The reply; raises NoMessage."""
        await self._free.acquire()
        url = self._origin + target(self.forwarder.path, query)
        try:
            found = await self._client.fetch(url, fields=(("Accept", MEDIA),))
        except Exception as failed:
            raise NoMessage(str(failed).removeprefix(f"{url}: ")) from None
        finally:
            self._free.release()
        media = (found.field("content-type") or "").partition(";")[0].strip().lower()
        if found.status != 200 or media != MEDIA or len(found.body) < HEADER:
            raise NoMessage(f"{self.forwarder.name}: no DNS message but HTTP {found.status} with {media or 'no media type'}")
        return found.body


@dataclass(frozen=True, slots=True)
class _Known:
    """A Resolver for whom every name has the one address."""

    address: str

    async def addresses(self, name: str) -> Sequence[str]:
        return [self.address]

    async def records(self, name: str, rdtype: str) -> Sequence[str]:
        return []

    async def proved(self, name: str, rdtype: str) -> Sequence[str] | None:
        return None


def _refusal(refused: Refused) -> Respond:
    allow = f"Allow: {', '.join(METHODS)}\r\n".encode() if refused.status == 405 else b""
    return error(refused.status, str(refused), allow)


def _response(query: bytes, reply: bytes) -> Respond:
    seconds = lifetime(reply)
    fields = f"Cache-Control: max-age={seconds}\r\n".encode() if seconds else b"Cache-Control: no-store\r\n"
    return content(200, MEDIA, reply_on_stream(query, reply, None, secure=True), fields)
