"""HTTP/1.0 and HTTP/1.1: engines of both sides, an origin server of files, a client."""

from netstack.http.client import ClientOptions, FetchError, HTTPClient, Result, Timing, fetch
from netstack.http.limits import HTTPLimits
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
