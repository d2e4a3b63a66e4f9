"""A process that keeps records and says which are durable: `python -m tests.ring.logging_records DIRECTORY FIRST`."""

import sys
from itertools import count

from twisted.internet import reactor

from netstack.kernel.real import real_machine
from netstack.ring.disk import LogLimits, RecordLog
from netstack.ring.records import DataOptions, Record, Value, Version
from netstack.ring.table import Table, name_of

LIMITS = LogLimits(segment=200_000)
KEYS = 300


def record_of(number: int) -> Record:
    """The change of that number: it replaces what its key had."""
    data = b"%d " % number + bytes(number % 700)
    version = Version(number, 1)
    return Record(b"key %d" % (number % KEYS), version, 1e6, (Value(name_of(data), version, 1e6, False, data),))


def main(directory: str, first: int) -> None:
    machine = real_machine("node", state_directory=directory)
    table = Table(DataOptions())
    log = RecordLog(machine, LIMITS, held=lambda: [held.record(0.0) for held in table])
    for record in log.open():
        table.merge(record, 0.0)
    print("found", log.damaged, *(f"{held.key.decode().split()[1]}:{held.newest.counter}" for held in table), flush=True)
    numbers = count(first)

    def keep() -> None:
        for number in [next(numbers) for _ in range(10)]:
            record = record_of(number)
            table.merge(record, 0.0)
            log.keep((record,), ()).addCallback(lambda _, number=number: print("durable", number, flush=True))
        reactor.callLater(0.001, keep)  # type: ignore[attr-defined]

    reactor.callWhenRunning(keep)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
