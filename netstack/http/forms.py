"""Forms as browsers send them by default: application/x-www-form-urlencoded (WHATWG URL §5.1); pure."""

from urllib.parse import parse_qsl

from netstack.http.values import authority
from netstack.http.wire import BadMessage, Request

URLENCODED = "application/x-www-form-urlencoded"
MOST_FIELDS = 200


class Fields:
    """The fields of a form or query, in order; a name may come more than once."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def get(self, name: str, default: str = "") -> str:
        """The first value of a name, white space around it taken away."""
        return next((value.strip() for key, value in self.pairs if key == name), default)

    def every(self, name: str) -> list[str]:
        """All values of a name."""
        return [value.strip() for key, value in self.pairs if key == name]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.pairs)


def parse_form(data: bytes | str, most: int = MOST_FIELDS) -> Fields:
    """The fields of a body or of a query; raises BadMessage (400) for octets that are no UTF-8 and for too many fields."""
    try:
        text = data.decode("ascii") if isinstance(data, bytes) else data
        return Fields(parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=most))
    except UnicodeDecodeError:
        raise BadMessage("the form's fields are not UTF-8 with percent-encoding") from None
    except ValueError:
        raise BadMessage(f"the form has more than {most} fields") from None


def media_type_of(request: Request) -> str:
    """The media type of a request's content in lower case, without parameters; empty where none is said."""
    return request.fields.get("content-type", "").partition(";")[0].strip().lower()


def from_elsewhere(request: Request, secure: bool) -> bool:
    """Whether a browser says that another site's page sent this (Fetch Metadata; Origin, RFC 6454 §7).

    `secure`: it came under TLS; then a page of the same host that came in the clear is another site's.
    """
    if request.fields.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.fields.get("origin")
    if origin is None:
        return False
    scheme, _, place = origin.partition("://")
    return authority(place) != (request.host, request.port) or (secure and scheme != "https")
