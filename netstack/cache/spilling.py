"""Large objects on their way to disk: what came of one is written while more comes."""

from collections import deque
from collections.abc import Callable
from typing import Any
from zlib import crc32

from netstack.cache import records
from netstack.cache.files import CHECKED, Files, cost_of
from netstack.cache.lane import Work, failed
from netstack.cache.objects import Stored, Writing
from netstack.cache.segments import LARGE, Segment, read_large


class Spill:
    """One large object. Its file has its final name from the start; without its end it is nobody's."""

    __slots__ = ("busy", "cancelled", "queued", "segment", "stored", "sum", "writing")

    def __init__(self, writing: Writing, segment: Segment) -> None:
        self.writing = writing
        self.segment = segment
        self.stored: Stored | None = None
        """Once it is complete."""
        self.sum = 0
        self.busy = False
        """Some of it is being written."""
        self.queued = False
        self.cancelled = False


class Spills:
    """All that are under way, each written to in its turn."""

    def __init__(self, files: Files, hash_of: Callable[[bytes], int], go: Callable[[], object]) -> None:
        self.files = files
        self.forget: Callable[[Stored], object] = lambda stored: None
        """Called with an object that could not be written to its end."""
        self._hash_of = hash_of
        self._go = go
        self._queue: deque[Spill] = deque()
        self._amended: deque[Stored] = deque()

    def begin(self, writing: Writing) -> Spill:
        """A body that is too large for memory."""
        segment = self.files.next(LARGE, main=False)
        segment.writing = writing
        return Spill(writing, segment)

    def feed(self, spill: Spill) -> None:
        """More has come, or the end."""
        if not spill.queued and not spill.cancelled:
            spill.queued = True
            self._queue.append(spill)
            self._go()

    def cancel(self, spill: Spill) -> None:
        """It will not be stored; what is on disk of it can be read until nobody does."""
        if not spill.cancelled:
            spill.cancelled = True
            if not spill.busy:
                self.files.drop(spill.segment)
                self._go()

    @property
    def needs(self) -> int | None:
        """Octets of disk for what is next; None where there is nothing."""
        while self._queue and (self._queue[0].cancelled or self._queue[0].busy):
            self._queue.popleft().queued = False
        if not self._queue:
            return None
        writing = self._queue[0].writing
        return writing.waiting + records.HEAD + len(writing.key) + len(writing.meta)

    def refuse(self) -> None:
        """There is no room for what is next, nor will there be."""
        spill = self._queue.popleft()
        spill.queued = False
        self._fail(spill)

    def work(self) -> Work:
        """Write what is there of the first in the queue."""
        spill = self._queue.popleft()
        spill.queued, spill.busy = False, True
        writing, segment, disk = spill.writing, spill.segment, self.files.disk
        data, last = writing.unflushed(), spill.stored is not None
        key, meta, hashed, size = writing.key, writing.meta, self._hash_of(writing.key), writing.size
        octets = len(data) + (records.HEAD + len(key) + len(meta) if last else 0)
        segment.end += octets
        self.files.grow(segment, octets)

        def run() -> None:
            spill.sum = crc32(data, spill.sum)
            end = b"".join((key, meta, records.head_of(key, meta, size, spill.sum, hashed))) if last else b""
            segment.append(disk, data + end if end else data)
            if last:
                segment.let_go()

        def done(result: Any) -> None:
            spill.busy = False
            error = failed(result)
            if error is not None:
                self.files.failed(error)
                self._fail(spill)
            elif spill.cancelled:
                self.files.drop(segment)
            else:
                writing.flushed(len(data))
                if last:
                    self._complete(spill, hashed)
                elif spill.stored is not None or writing.much:
                    self.feed(spill)

        return Work(run, done, cost_of(octets))

    def _complete(self, spill: Spill, hashed: int) -> None:
        stored, segment, files = spill.stored, spill.segment, self.files
        assert stored is not None  # noqa: S101  it has ended
        stored.release()
        segment.writing = None
        spill.writing.spilled()
        if stored.removed:
            files.drop(segment)
            return
        files.counts.written += 1
        files.counts.written_octets += segment.end
        stored.slot = files.entered(segment, hashed, 0, segment.end, CHECKED)
        if stored.resident:
            files.resident[stored.slot] = stored

    def _fail(self, spill: Spill) -> None:
        spill.cancelled = True
        self.files.drop(spill.segment)
        spill.writing.failed()
        if spill.stored is not None:
            spill.stored.release()
            self.forget(spill.stored)

    def amend(self, stored: Stored) -> None:
        """Other metadata of a large object goes to its file's end."""
        if stored not in self._amended:
            self._amended.append(stored)
            self._go()

    def amendment(self) -> Work | None:
        """Write one."""
        while self._amended:
            stored = self._amended.popleft()
            segment = stored.segment
            if stored.slot and segment is not None and not segment.gone:
                return self._amend(stored, segment, stored.meta)
        return None

    def _amend(self, stored: Stored, segment: Segment, meta: bytes) -> Work:
        disk, files, slot, key = self.files.disk, self.files, stored.slot, stored.key
        before = files.index.sizes[slot]
        octets = records.HEAD + len(key) + len(meta)
        files.grow(segment, octets)

        def run() -> None:
            head, _, _ = read_large(segment.open(disk), before)
            segment.append(disk, b"".join((key, meta, records.head_of(key, meta, head.body, head.body_sum, head.hash))))
            segment.let_go()

        def done(result: Any) -> None:
            error = failed(result)
            if error is not None:
                files.failed(error)
            if files.index.files[slot] != segment.number:
                return
            if error is not None:
                self.forget(stored)
                files.drop(segment)
            else:
                files.index.sizes[slot] = before + octets

        return Work(run, done, cost_of(octets))
