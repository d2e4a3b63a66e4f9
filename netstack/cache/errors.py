"""Responses that a proxy makes itself: what went wrong, whose fault it is, and what to do (RFC 9110 §15.6, RFC 9209)."""

from netstack.cache.rules import Rules
from netstack.cache.status import own, proxy_status
from netstack.http.answers import PAGE, error
from netstack.http.events import Respond
from netstack.http.faults import ErrorType
from netstack.http.links import FetchError
from netstack.http.values import http_date

_EXPLAINED = {
    ErrorType.DNS_ERROR: "Its name could not be resolved: look whether it is spelled right.",
    ErrorType.DNS_TIMEOUT: "Its name could not be resolved in time; try again in a moment.",
    ErrorType.CONNECTION_REFUSED: "Nothing listens there: the server is down, or the port is wrong.",
    ErrorType.CONNECTION_TIMEOUT: "The server does not answer: it is down, or the way to it is.",
    ErrorType.CONNECTION_LIMIT_REACHED: "Too much is asked of that server at once; try again in a moment.",
    ErrorType.DESTINATION_IP_PROHIBITED: "Its address is one that this proxy does not go to.",
    ErrorType.TLS_CERTIFICATE_ERROR: "The server could not prove who it is: its certificate is not trusted, or another's.",
    ErrorType.HTTP_RESPONSE_TIMEOUT: "The server took the request, and did not answer in time.",
    ErrorType.PROXY_LOOP_DETECTED: "The request came back to this proxy: some proxy on the way points to another one's.",
}
_ELSE = "The server's answer broke off, or was none that can be passed on."


def refusal(status: int, reason: str, date: float, fields: bytes = b"") -> Respond:
    """A page with its Date, for requests that are not served."""
    page = error(status, reason)
    lines = f"Date: {http_date(date)}\r\n".encode() + page.fields + PAGE + b"Cache-Control: no-store\r\n" + fields
    return Respond(page.status, lines, page.body)


def unavailable(error: FetchError, uri: str, date: float, rules: Rules, words: str, open_about_it: bool) -> Respond:
    """For a response that could not be had. `open_about_it`: the client may know where it was looked for."""
    kind = error.kind
    told = str(error)[:500] if open_about_it else None
    reason = f"{uri} could not be fetched. {_EXPLAINED.get(kind, _ELSE)}" + (f" ({told})" if told else "")
    fields = f"Cache-Status: {words}\r\n" if words else ""
    detail = None if told is None else told.encode("ascii", "replace").decode()
    fields += f"Proxy-Status: {proxy_status(rules, kind.value, detail)}\r\n"
    if kind.status == 503:
        fields += "Retry-After: 5\r\n"
    return refusal(kind.status, reason, date, fields.encode())


def loop(uri: str, date: float, rules: Rules) -> Respond:
    """508 (RFC 5842 §7.2): the next one on the way is this one."""
    fields = f"Cache-Status: {own(rules, 'loop')}\r\nProxy-Status: {proxy_status(rules, 'proxy_loop_detected')}\r\n"
    reason = f"{uri} leads back to this proxy. {_EXPLAINED[ErrorType.PROXY_LOOP_DETECTED]}"
    return refusal(508, reason, date, fields.encode())


def only_if_cached(uri: str, date: float, rules: Rules) -> Respond:
    """504 (RFC 9111 §5.2.1.7)."""
    reason = f"{uri} is not stored here in a form that may be served, and the request forbids to fetch it (only-if-cached)."
    return refusal(504, reason, date, f"Cache-Status: {own(rules, 'only-if-cached')}\r\n".encode())
