"""A client's cookies: which it keeps, which it sends where, how many (RFC 6265bis §5.1.3, §5.1.4, §5.7, §5.8); pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from netstack.http.cookies import LONGEST, SameSite, broken_prefix, parse_set_cookie
from netstack.kernel.resolver import is_address


@dataclass(slots=True)
class Cookie:
    """A cookie that is kept; times in seconds since 1970."""

    name: str
    value: str
    domain: str
    path: str
    created: float
    used: float
    expires: float | None
    """None: as long as the jar."""
    host_only: bool
    """Sent to the host that set it alone."""
    secure: bool
    http_only: bool
    same_site: SameSite


def one_label(domain: str) -> bool:
    """Whether a domain is one that sites are registered under, as far as can be told without a list of these."""
    return "." not in domain


class Jar:
    """Cookies of one user. `public` tells domains for which nobody may set cookies (§5.7, step 8)."""

    def __init__(self, per_domain: int = 50, most: int = 3000, public: Callable[[str], bool] = one_label) -> None:
        self.per_domain = per_domain
        self.most = most
        self._public = public
        self._cookies: dict[tuple[str, str, bool, str], Cookie] = {}

    def take(self, text: str, host: str, path: str, secure: bool, wall: float, same_site: bool = True) -> bool:
        """A Set-Cookie field of a response to a request for `path` of `host`; whether it was obeyed.

        `same_site`: the request was one that the user's own going from page to page made (§5.2).
        """
        told = parse_set_cookie(text)
        if told is None or (told.secure and not secure):
            return False
        given, domain, host_only = told.domain, host, True
        if given is not None and self._public(given):
            if given != host:
                return False
            given = None
        if given is not None:
            if not domain_match(host, given):
                return False
            domain, host_only = given, False
        kept_path = told.path or default_path(path)
        if told.same_site == "None" and not told.secure:
            return False
        if told.same_site in ("Strict", "Lax") and not same_site:
            return False
        hidden = told.value if not told.name else ""  # a value alone must not look like a name with a prefix
        if hidden.lower().startswith(("__secure-", "__host-")):
            return False
        if broken_prefix(told.name, told.secure, None if host_only else domain, told.path) is not None:
            return False
        if not secure and self._covered(told.name, domain, kept_path):
            return False
        expires: float | None = None
        if told.max_age is not None:
            expires = wall + min(told.max_age, LONGEST) if told.max_age > 0 else 0.0
        elif told.expires is not None:
            expires = min(float(told.expires), wall + LONGEST)
        key = (told.name, domain, host_only, kept_path)
        old = self._cookies.pop(key, None)
        if expires is None or expires > wall:
            created = wall if old is None else old.created
            self._cookies[key] = Cookie(
                told.name, told.value, domain, kept_path, created, wall, expires,
                host_only, told.secure, told.http_only, told.same_site,
            )  # fmt: skip
            self._evict(domain, wall)
        return True

    def put(self, cookie: Cookie, wall: float) -> None:
        """A cookie that was kept elsewhere."""
        if cookie.expires is None or cookie.expires > wall:
            self._cookies[cookie.name, cookie.domain, cookie.host_only, cookie.path] = cookie
            self._evict(cookie.domain, wall)

    def field(self, host: str, path: str, secure: bool, wall: float, same_site: bool = True, safe: bool = True) -> str:
        """The value of the Cookie field of a request, empty for none.

        `safe`: a GET or the like that shows a page, which Lax cookies go with even from another site (§5.8.3).
        """
        chosen = [
            cookie
            for cookie in self.cookies(wall)
            if (cookie.domain == host if cookie.host_only else domain_match(host, cookie.domain))
            and path_match(path, cookie.path)
            and (secure or not cookie.secure)
            and (same_site or cookie.same_site == "None" or (cookie.same_site in ("Lax", "") and safe))
        ]
        chosen.sort(key=lambda cookie: (-len(cookie.path), cookie.created))
        for cookie in chosen:
            cookie.used = wall
        return "; ".join(f"{cookie.name}={cookie.value}" if cookie.name else cookie.value for cookie in chosen)

    def cookies(self, wall: float) -> Iterator[Cookie]:
        """Those that have not expired."""
        for key, cookie in tuple(self._cookies.items()):
            if cookie.expires is not None and cookie.expires <= wall:
                del self._cookies[key]
            else:
                yield cookie

    def clear(self) -> None:
        """Forget all."""
        self._cookies.clear()

    def __len__(self) -> int:
        return len(self._cookies)

    def _covered(self, name: str, domain: str, path: str) -> bool:
        """Whether plain HTTP would put itself before a Secure cookie of that name (§5.7, step 16)."""
        return any(
            cookie.secure
            and cookie.name == name
            and (domain_match(cookie.domain, domain) or domain_match(domain, cookie.domain))
            and path_match(path, cookie.path)
            for cookie in self._cookies.values()
        )

    def _evict(self, domain: str, wall: float) -> None:
        """Keep to the bounds: what has expired goes first, then what was used longest ago, without Secure before with."""
        of_domain = sorted(
            (it for it in self.cookies(wall) if it.domain == domain), key=lambda cookie: (cookie.secure, cookie.used)
        )
        every = sorted(self.cookies(wall), key=lambda cookie: cookie.used)
        for cookies, most in ((of_domain, self.per_domain), (every, self.most)):
            for cookie in cookies[: max(0, len(cookies) - most)]:
                self._cookies.pop((cookie.name, cookie.domain, cookie.host_only, cookie.path), None)


def domain_match(host: str, domain: str) -> bool:
    """Whether a host is the domain or below it (§5.1.3); both in lower case."""
    return host == domain or (host.endswith("." + domain) and not is_address(host))


def path_match(path: str, of: str) -> bool:
    """Whether a request's path is a cookie's path or below it (§5.1.4)."""
    return path == of or (path.startswith(of) and (of.endswith("/") or path[len(of) : len(of) + 1] == "/"))


def default_path(path: str) -> str:
    """The path of a cookie that names none (§5.1.4)."""
    return path.rpartition("/")[0] or "/" if path.startswith("/") else "/"
