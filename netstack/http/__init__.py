"""HTTP/1.0, HTTP/1.1 and HTTP/2: engines of both sides, an origin server of files, a client."""

from netstack.http.client import ClientOptions, HTTPClient, Result, Timing, fetch
from netstack.http.limits import HTTPLimits
from netstack.http.links import FetchError
from netstack.http.server import Origin, Site
from netstack.http.service import HTTPService
from netstack.http.store import StoreLimits

__all__ = [
    "ClientOptions",
    "FetchError",
    "HTTPClient",
    "HTTPLimits",
    "HTTPService",
    "Origin",
    "Result",
    "Site",
    "StoreLimits",
    "Timing",
    "fetch",
]
