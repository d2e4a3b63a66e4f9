"""Where each object is on disk: columns of integers, some thirty octets for each object, and no object of Python for any."""

from array import array
from hashlib import blake2b

_LOAD = 3
"""A table has at least 5 places for so many objects."""
MOST_SHARDS = 1024


def hash_of(key: bytes, secret: bytes) -> int:
    """64 bits that nobody can foresee who does not know the secret."""
    return int.from_bytes(blake2b(key, digest_size=8, key=secret).digest(), "little")


class Index:
    """Slots with what is known of one record each, found by the hash of its key; several may have the same.

    The tables are many and small, so that none takes long to grow. A slot keeps its number as long as its record exists.
    """

    __slots__ = ("_counts", "_free", "_shift", "_tables", "files", "flags", "hashes", "offsets", "sizes", "taken")

    def __init__(self, expected: int) -> None:
        """`expected`: how many objects there may be."""
        shards = 1
        while shards < MOST_SHARDS and shards * 1024 < expected:
            shards *= 2
        self._shift = 64 - (shards.bit_length() - 1)
        self._tables = [array("I", bytes(4 * 8)) for _ in range(shards)]
        self._counts = array("I", bytes(4 * shards))
        self.hashes = array("Q", (0,))
        self.files = array("I", (0,))
        self.offsets = array("I", (0,))
        self.sizes = array("I", (0,))
        self.flags = bytearray(1)
        self._free = 0
        """The first free slot; its offset is the number of the next."""
        self.taken = 0
        """Slots with a record."""

    def __len__(self) -> int:
        return self.taken

    @property
    def octets(self) -> int:
        """Memory that it takes, as good as."""
        return 21 * len(self.hashes) + 10 * self.taken + 200 * len(self._tables)

    def find(self, hashed: int) -> list[int]:
        """The slots of a hash."""
        table, slots = self._tables[hashed >> self._shift], []
        mask, hashes = len(table) - 1, self.hashes
        place = hashed & mask
        while slot := table[place]:
            if hashes[slot] == hashed:
                slots.append(slot)
            place = (place + 1) & mask
        return slots

    def add(self, hashed: int, file: int, offset: int, size: int, flags: int = 0) -> int:
        """The new record's slot, a number above 0."""
        slot = self._free
        if slot:
            self._free = self.offsets[slot]
            self.hashes[slot], self.files[slot], self.offsets[slot], self.sizes[slot] = hashed, file, offset, size
            self.flags[slot] = flags
        else:
            slot = len(self.hashes)
            self.hashes.append(hashed)
            self.files.append(file)
            self.offsets.append(offset)
            self.sizes.append(size)
            self.flags.append(flags)
        self.taken += 1
        shard = hashed >> self._shift
        count = self._counts[shard] = self._counts[shard] + 1
        table = self._tables[shard]
        if count * 5 > len(table) * _LOAD:
            table = self._tables[shard] = self._grown(table)
        mask = len(table) - 1
        place = hashed & mask
        while table[place]:
            place = (place + 1) & mask
        table[place] = slot
        return slot

    def _grown(self, table: "array[int]") -> "array[int]":
        larger, mask, hashes = array("I", bytes(8 * len(table))), 2 * len(table) - 1, self.hashes
        for slot in table:
            if slot:
                place = hashes[slot] & mask
                while larger[place]:
                    place = (place + 1) & mask
                larger[place] = slot
        return larger

    def remove(self, slot: int) -> None:
        """The record exists no more; its slot may be another's soon."""
        hashed = self.hashes[slot]
        shard = hashed >> self._shift
        table = self._tables[shard]
        mask, hashes = len(table) - 1, self.hashes
        place = hashed & mask
        while table[place] != slot:
            place = (place + 1) & mask
        gap = place
        while other := table[place := (place + 1) & mask]:  # who was pushed on by it moves back
            if (place - hashes[other]) & mask >= (place - gap) & mask:
                table[gap], gap = other, place
        table[gap] = 0
        self._counts[shard] -= 1
        self.files[slot], self.offsets[slot], self._free = 0, self._free, slot
        self.taken -= 1
