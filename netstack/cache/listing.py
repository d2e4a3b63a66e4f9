"""Everything that a store has, a piece at a time: also what is on disk alone, of which heads are read and no bodies."""

from collections.abc import AsyncIterator
from functools import partial

from twisted.internet.task import deferLater

from netstack.cache import records
from netstack.cache.disk import DiskTier
from netstack.cache.files import cost_of
from netstack.cache.objects import Stored
from netstack.cache.records import HEAD, Corrupt
from netstack.cache.segments import LARGE, Segment, read_large
from netstack.kernel.disk import Disk

_STEP = 200
"""Heads read in one piece of work."""
_USUAL = 1024
"""Octets in which most heads stand with their key and metadata."""
_WAIT = 0.05
"""Seconds between looks whether the disk is known."""


async def known(disk: DiskTier) -> None:
    """Until the index has all that is on disk."""
    while disk.warming.going_on and not disk.stopping:
        await deferLater(disk.machine.reactor, _WAIT)  # type: ignore[arg-type]


async def on_disk(disk: DiskTier, prefix: bytes) -> AsyncIterator[Stored]:
    """Objects that are on disk alone, whose key begins so. What is stored meanwhile is seen, too; some may be seen twice."""
    await known(disk)
    last, files = 0, disk.files
    while later := [number for number in files.segments if number > last]:
        last = min(later)
        segment = files.segments[last]
        slots = list(dict.fromkeys(segment.slots))
        for begin in range(0, len(slots), _STEP):
            places = [
                (slot, files.index.offsets[slot], files.index.sizes[slot])
                for slot in slots[begin : begin + _STEP]
                if files.index.files[slot] == last and slot not in files.resident
            ]
            if not places:
                continue
            work = partial(_heads, files.disk, segment, [(offset, size) for _, offset, size in places])
            heads = await disk.machine.offload(work, cost_of(_USUAL * len(places)))
            for (slot, offset, _), head in zip(places, heads, strict=True):
                still = files.index.files[slot] == last and files.index.offsets[slot] == offset
                if head is None or not still or slot in files.resident or not head[0].startswith(prefix):
                    continue
                stored = Stored(head[0], head[1], None, 0, head[2])
                stored.slot = -slot
                stored.files, stored.segment = files, segment
                yield stored


def _heads(disk: Disk, segment: Segment, places: list[tuple[int, int]]) -> list[tuple[bytes, bytes, int] | None]:
    """Key, metadata and octets of the body of each record; None where they cannot be read."""
    found: list[tuple[bytes, bytes, int] | None] = []
    for offset, size in places:
        try:
            file = segment.open(disk)
            if segment.letter == LARGE:
                head, key, meta = read_large(file, size)
            else:
                data = file.read_at(offset, min(size, _USUAL))
                head = records.parse_head(data)
                names = data[HEAD:]
                if len(names) < head.key + head.meta:
                    names = file.read_at(offset + HEAD, head.key + head.meta)
                key, meta = records.names_of(head, data, names)
            found.append((key, meta, head.body))
        except (OSError, Corrupt):
            found.append(None)
    return found
