"""Messages of the control socket back into the journal's rows, for what draws or exports them."""

import base64
from collections.abc import Mapping
from typing import Any

from netstack.kernel.journal import Row


def row_of(message: Mapping[str, Any]) -> Row:
    """A row from its JSON; octets that did not come with it count as omitted."""
    data = base64.b64decode(message.get("data", ""))
    return Row(
        time=message["time"],
        source=(message["from_address"][0], message["from_address"][1]),
        destination=(message["to_address"][0], message["to_address"][1]),
        source_name=message["from"],
        destination_name=message["to"],
        transport=message["transport"],
        protocol=message["protocol"],
        summary=message["summary"],
        data=data,
        secure=message["secure"],
        omitted=message["bytes"] - len(data),
    )
