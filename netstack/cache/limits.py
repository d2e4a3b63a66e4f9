"""Bounds of the store, and what it counts."""

from dataclasses import dataclass

from netstack.sansio.bounds import all_positive

_LARGEST = 0xF000_0000
"""Octets of a file of the disk tier."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bounds of one store. Raises ValueError for those that cannot be kept."""

    memory: int = 256 * 1024 * 1024
    """Octets of memory: objects, their metadata, and the indexes of both tiers."""
    disk: int = 0
    """Octets of disk; 0 is no disk tier."""
    objects: int = 2_000_000
    """Objects in memory; as many on disk."""
    object: int = 1024 * 1024 * 1024
    """Octets of the largest body that is stored; never more than a quarter of the disk tier."""
    inline: int = 1024 * 1024
    """Octets of the largest body that memory keeps; without a disk tier, of the largest body that is stored."""
    variants: int = 64
    """Variants of one key; then the oldest goes."""
    window: int = 1024 * 1024
    """Octets of an object being received that wait for its slowest reader, or for the disk."""
    behind: int = 32 * 1024 * 1024
    """Octets of objects that wait to be written to disk, a quarter of `memory` at most; others are in memory alone."""
    retry: float = 10.0
    """Seconds without writing after the disk was full or failed."""

    def __post_init__(self) -> None:
        all_positive(self, or_none=("disk",))
        if self.object > _LARGEST:
            raise ValueError(f"object: expected {_LARGEST} octets at most, got {self.object}")
        if 0 < self.disk < 1 << 16:
            raise ValueError(f"disk: expected 0 or 65536 octets at least, got {self.disk}")


@dataclass(slots=True)
class StoreCounts:
    """What a store counts, from its start."""

    stored: int = 0
    """Objects."""
    freshened: int = 0
    removed: int = 0
    too_large: int = 0
    """Bodies not stored, for their size."""
    no_room: int = 0
    """Not stored, because all that is there is held."""
    incomplete: int = 0
    """Not stored, because less or more came than was promised, or because the fetch was given up."""
    overtaken: int = 0
    """Not stored, because its key was removed while it was received."""
    written: int = 0
    """Objects written to disk."""
    written_octets: int = 0
    copied: int = 0
    """Objects that stayed when their segment went."""
    not_written: int = 0
    """Objects kept in memory alone, because too much waits for the disk, or it failed."""
    loaded: int = 0
    """Objects read from disk."""
    evicted_from_disk: int = 0
    corrupt: int = 0
    """Records on disk that failed their checksum; they are gone."""
    torn: int = 0
    """Files whose end was not written when the process or the machine stopped."""
    disk_failed: int = 0
    """Times that the disk was full or failed."""
