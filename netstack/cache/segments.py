"""Files of the disk tier, and the work on them that may block: it runs beside the reactor, one piece after another."""

from array import array
from typing import TYPE_CHECKING
from zlib import crc32

from netstack.cache import records
from netstack.cache.records import HEAD, ROW, TABLE_END, Corrupt, Head, Table
from netstack.kernel.disk import Appender, Disk, OpenFile

if TYPE_CHECKING:
    from netstack.cache.objects import Writing

SMALL, MAIN, LARGE = "s", "m", "l"
"""What a file's name begins with: the queue of its records when it was written, or a large object alone."""
_PIECE = 1 << 20
"""Octets read at once."""


class Segment:
    """One file. `octets` is its size, `end` where the next record goes."""

    __slots__ = (
        "appender",
        "dead",
        "end",
        "file",
        "gone",
        "lent",
        "letter",
        "number",
        "octets",
        "slots",
        "table",
        "writing",
    )

    def __init__(self, letter: str, number: int, octets: int = 0) -> None:
        self.letter = letter
        self.number = number
        self.octets = octets
        """Room that it takes, or will with what is being written."""
        self.end = 0
        self.file: OpenFile | None = None
        self.appender: Appender | None = None
        self.table: Table | None = None
        """Until it is written at the end."""
        self.slots = array("I")
        """Of the index, for each record that was put in; some of them belong to other records by now."""
        self.dead = array("I")
        """Offsets of records that were removed, not evicted: nobody may find them again."""
        self.lent = 0
        """Bodies being sent from it."""
        self.gone = False
        """Its name is removed, or about to be."""
        self.writing: Writing | None = None
        """A large object whose end is not on disk yet: reads go there."""

    @property
    def path(self) -> str:
        """Its name below the store's directory."""
        if self.letter == LARGE:
            return f"large/{self.number & 0xFF:02x}/{self.letter}{self.number:08x}"
        return f"segments/{self.letter}{self.number:08x}"

    def open(self, disk: Disk) -> OpenFile:
        """For reading."""
        if self.file is None:
            self.file = disk.open(self.path)
        return self.file

    def append(self, disk: Disk, data: bytes) -> None:
        """To its end; made when it is not there. Raises OSError, and then nobody knows how much of it is there."""
        if self.appender is None:
            self.appender = disk.append(self.path)
        self.appender.write(data)
        self.open(disk)

    def seal(self, disk: Disk) -> None:
        """Write the table, and no more after it; from now on it survives a loss of power, too."""
        if self.table is not None:
            self.append(disk, self.table.to_bytes())
        if self.appender is not None:
            self.appender.sync()
        self.let_go()

    def let_go(self) -> None:
        """Close what appends."""
        appender, self.appender = self.appender, None
        if appender is not None:
            appender.close()


def parse_name(name: str) -> tuple[str, int] | None:
    """Letter and number of a file's name; None for a file that is not ours."""
    letter, digits = name[:1], name[1:]
    if letter not in (SMALL, MAIN, LARGE) or len(digits) != 8 or digits.strip("0123456789abcdef"):
        return None
    return letter, int(digits, 16)


def read_table(file: OpenFile) -> Table:
    """Of a segment that has one. Raises Corrupt or OSError."""
    size = file.stat.size
    count, checksum = records.parse_table_end(file.read_at(max(0, size - TABLE_END), TABLE_END))
    begins = size - TABLE_END - ROW * count
    if begins < 0:
        raise Corrupt("a table is larger than its segment")
    return Table.from_bytes(_read(file, begins, ROW * count), count, checksum)


def scan(file: OpenFile) -> tuple[Table, bool]:
    """The records of a segment without a table, and whether something follows them that is none."""
    table, at, size = Table(), 0, file.stat.size
    while at < size:
        packed = file.read_at(at, HEAD)
        try:
            head = records.parse_head(packed)
            if at + head.size > size:
                break
            records.names_of(head, packed, _read(file, at + HEAD, head.key + head.meta))
        except Corrupt:
            break
        table.add(head.hash, at, head.size)
        at += head.size
    return table, at < size


def read_large(file: OpenFile, size: int) -> tuple[Head, bytes, bytes]:
    """Head, key and metadata of a large object, which stand behind its body. Raises Corrupt or OSError."""
    packed = file.read_at(max(0, size - HEAD), HEAD)
    head = records.parse_head(packed)
    names = size - HEAD - head.key - head.meta
    if names < head.body:
        raise Corrupt("a large object is cut off")
    key, meta = records.names_of(head, packed, _read(file, names, head.key + head.meta))
    return head, key, meta


def check_body(file: OpenFile, head: Head) -> None:
    """Raises Corrupt unless the body of a large object is what was written."""
    at, found = 0, 0
    while at < head.body:
        piece = file.read_at(at, min(_PIECE, head.body - at))
        if not piece:
            break
        at, found = at + len(piece), crc32(piece, found)
    if at < head.body or found != head.body_sum:
        raise Corrupt("a body fails its checksum")


def read_record(file: OpenFile, offset: int, size: int) -> bytes:
    """A whole record, unchecked."""
    return _read(file, offset, size)


def _read(file: OpenFile, offset: int, size: int) -> bytes:
    data = file.read_at(offset, size)
    if len(data) < size:
        parts = [data]
        while data := file.read_at(offset + sum(map(len, parts)), size - sum(map(len, parts))):
            parts.append(data)
        return b"".join(parts)
    return data


class Lent:
    """A body on its way to a client: its file stays readable until it is closed, also when the object is evicted."""

    __slots__ = ("_returned", "_segment")

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._returned = False
        segment.lent += 1

    def fileno(self) -> int:
        file = self._segment.file
        return -1 if file is None or self._segment.writing is not None or self._returned else file.fileno()

    def read_at(self, offset: int, length: int) -> bytes:
        segment = self._segment
        if segment.writing is not None:
            return segment.writing.read(offset, length)
        return b"" if segment.file is None or self._returned else segment.file.read_at(offset, length)

    def close(self) -> None:
        """Once or more often."""
        if not self._returned:
            self._returned = True
            self._segment.lent -= 1

    def __del__(self) -> None:
        self.close()
