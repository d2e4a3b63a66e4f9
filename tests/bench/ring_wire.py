"""A ring's messages as octets, written and read: microseconds of CPU and octets, beside Twisted's AMP.

    python -m tests.bench.ring_wire [--runs 5] [--json]

AMP carries a message as pairs of names and values of at most 65 535 octets, so that a record of several values does not fit.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from time import process_time
from typing import Any

from twisted.protocols import amp

from netstack.ring.data_messages import Put
from netstack.ring.identifiers import Circle, Contact
from netstack.ring.messages import Message, Neighbours, Step, StepAnswer
from netstack.ring.records import NEVER
from netstack.ring.wire import Codec

CIRCLE = Circle(160)
CODEC = Codec(CIRCLE)
NODES = tuple(Contact(CIRCLE.of(b"%d" % number), f"192.0.2.{number}:4160") for number in range(8))
MESSAGES: dict[str, Message] = {
    "Neighbours": Neighbours(1000),
    "Step": Step(1000, CIRCLE.of(b"key")),
    "StepAnswer, 8 nodes": StepAnswer(1000, False, NODES, NODES[:4]),
    "Put, 1 KB": Put(1000, b"some key", bytes(1000), 3600.0, True, 2, NEVER, 0.0),
}

_CONTACTS = amp.AmpList([(b"ident", amp.Unicode()), (b"address", amp.Unicode())])


class _Neighbours(amp.Command):
    arguments = [(b"number", amp.Integer())]


class _Step(amp.Command):
    arguments = [(b"number", amp.Integer()), (b"key", amp.Integer())]


class _StepAnswer(amp.Command):
    arguments = [
        (b"number", amp.Integer()), (b"done", amp.Boolean()), (b"nodes", _CONTACTS), (b"successors", _CONTACTS),
    ]  # fmt: skip


class _Put(amp.Command):
    arguments = [
        (b"number", amp.Integer()), (b"key", amp.String()), (b"value", amp.String()), (b"life", amp.Float()),
        (b"replace", amp.Boolean()), (b"quorum", amp.Integer()), (b"counter", amp.Integer()), (b"origin", amp.Integer()),
        (b"age", amp.Float()),
    ]  # fmt: skip


def as_amp(message: Message) -> tuple[Any, dict[str, Any]]:
    """The command and its arguments."""
    if isinstance(message, StepAnswer):
        nodes, successors = (
            [{"ident": str(each.ident), "address": each.address} for each in some]
            for some in (message.nodes, message.successors)
        )
        return _StepAnswer, {"number": message.number, "done": message.done, "nodes": nodes, "successors": successors}
    if isinstance(message, Put):
        return _Put, {
            "number": message.number, "key": message.key, "value": message.value, "life": message.life,
            "replace": message.replace, "quorum": message.quorum, "counter": message.version.counter,
            "origin": message.version.origin, "age": message.age,
        }  # fmt: skip
    if isinstance(message, Step):
        return _Step, {"number": message.number, "key": message.key}
    assert isinstance(message, Neighbours)
    return _Neighbours, {"number": message.number}


def ours(message: Message) -> tuple[Callable[[], bytes], Callable[[bytes], object]]:
    """What writes it, what reads it."""
    return lambda: CODEC.encode(message), lambda framed: CODEC.decode(framed[4:])


def theirs(message: Message) -> tuple[Callable[[], bytes], Callable[[bytes], object]]:
    """The same by AMP, with the box's command and tag."""
    command, arguments = as_amp(message)

    def write() -> bytes:
        box = command.makeArguments(arguments, None)
        box[b"_command"], box[b"_ask"] = command.commandName, b"3e8"
        serialized: bytes = box.serialize()
        return serialized

    def read(octets: bytes) -> object:
        (box,) = amp.parseString(octets)
        return command.parseArguments(box, None)

    return write, read


def microseconds(write: Callable[[], bytes], read: Callable[[bytes], object], count: int) -> float:
    """CPU of one message, written and read."""
    begun = process_time()
    for _ in range(count):
        read(write())
    return (process_time() - begun) / count * 1e6


def measure(runs: int, count: int) -> list[dict[str, Any]]:
    """Both in turn; medians, and the median of the ratios."""
    rows = []
    for name, message in MESSAGES.items():
        (write, read), (amp_write, amp_read) = ours(message), theirs(message)
        framed, boxed = write(), amp_write()
        assert read(framed) == message
        found = [(microseconds(write, read, count), microseconds(amp_write, amp_read, count)) for _ in range(runs)]
        rows.append(
            {
                "message": name,
                "octets": len(framed),
                "amp_octets": len(boxed),
                "microseconds": statistics.median(mine for mine, _ in found),
                "amp_microseconds": statistics.median(amps for _, amps in found),
                "ratio": statistics.median(amps / mine for mine, amps in found),
            }
        )
    return rows


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.runs, options.count)
    if options.json:
        print(json.dumps(rows))
        return 0
    print("message               octets   AMP   CPU us    AMP  AMP/ours")
    for row in rows:
        print(
            f"{row['message']:20}  {row['octets']:6}  {row['amp_octets']:4}  {row['microseconds']:7.1f}"
            f"  {row['amp_microseconds']:5.1f}  {row['ratio']:8.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
