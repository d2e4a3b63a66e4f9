"""A zone's keys on the machine's disk: BIND's key files, and `state-ZONE.` with what has happened to each of them.

Files are the owner's alone (mode 0600). What is written is on the disk before it is acted upon.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dns.name import Name

from netstack.dns.dnssec.keys import ENTRY_POINT, MATERIAL, Key, KeyFormatError, anchors, make_key, read_key, zone_keys
from netstack.dns.dnssec.lifecycle import Held, Life, Role, from_text, held_key, initial, to_text
from netstack.dns.wire import name_text
from netstack.kernel.machine import Machine

DIRECTORY = "keys"
"""On the machine's disk."""
_ATTEMPTS = 20


@dataclass(slots=True)
class KeyStore:
    """The keys of one zone. `given`: keys of its configuration, which are not on the disk."""

    machine: Machine
    zone: Name
    given: tuple[Key, ...] = ()
    split: bool = False
    """A KSK and a ZSK are made where there are no keys, instead of one for both."""
    held: tuple[Held, ...] = field(default=(), init=False)

    def load(self) -> tuple[Held, ...]:
        """The keys and what has happened to them; raises KeyFormatError that names the file."""
        disk, wall = self.machine.disk, self.machine.wall()
        try:
            text = disk.read(self._state).decode("utf-8")
        except FileNotFoundError:
            text = None
        except UnicodeDecodeError as error:
            raise KeyFormatError(f"{self._state}: {error}") from error
        if text is not None and self.given and not any(f'"{key.file}"' in text for key in self.given):
            text = None  # of a zone with other keys, such as a world's with another seed
        there = [*self.given, *self._read()]
        if text is not None:
            try:
                held = from_text(text, there)
            except KeyFormatError as error:
                raise KeyFormatError(
                    f"{self._state}: {error}; put it back, or take {self._state} away to use all keys that are there"
                ) from error
            files = {each.file for each in held}
            new = [key for key in there if key.file not in files]  # put there by hand: a rollover begins
            roles = {each.role for each in held}
            self.held = (*held, *(held_key(key, _role(key, "ksk" in roles)) for key in new))
            return self.held
        if self.given:
            gone = Life(removed=wall)  # of an earlier life of the zone, never to be used
            ours = {key.file for key in self.given}
            left = [Held(key.file, key.record, _role(key, False), gone, None) for key in there if key.file not in ours]
            self.held = (*left, *initial(self.given, wall))
            return self.held
        self.held = initial(kept_keys(self.machine, self.zone, self.split), wall)
        self.save(self.held)
        return self.held

    def save(self, held: tuple[Held, ...]) -> None:
        """Keep what has happened; the DS records that the parent should have are beside it, in `dsset-ZONE.`."""
        self.machine.disk.write(self._state, to_text(held).encode())
        wanted = [each for each in held if each.entry and each.life.removed is None and each.life.superseded is None]
        asked = [each for each in wanted if each.life.submitted is not None] or wanted
        text = "".join(f"{line}\n" for line in anchors([each.key for each in asked if each.key is not None]))
        self.machine.disk.write(f"{DIRECTORY}/dsset-{_stem(self.zone)}.", text.encode())
        self.held = held

    def make(self, role: Role) -> Held:
        """A new key, on the disk; its tag is none of the others'."""
        tags = {each.tag for each in self.held}
        for _ in range(_ATTEMPTS):
            key = make_key(self.zone, self.machine.rng.randbytes(MATERIAL), role != "zsk")
            if key.tag not in tags:
                break
        _write(self.machine, key)
        return held_key(key, role, Life())

    def requested(self) -> str | None:
        """The kind of key in the file `roll-ZONE.`, by which an operator asks for a rollover; the file goes."""
        file = f"{DIRECTORY}/roll-{_stem(self.zone)}."
        try:
            text = self.machine.disk.read(file).decode("ascii", "replace").strip().lower()
        except FileNotFoundError:
            return None
        self.machine.disk.remove(file)
        return text

    @property
    def _state(self) -> str:
        return f"{DIRECTORY}/state-{_stem(self.zone)}."

    def _read(self) -> list[Key]:
        return _keys_on_disk(self.machine, self.zone)


def kept_keys(machine: Machine, zone: Name, split: bool) -> tuple[Key, ...]:
    """A zone's keys from the machine's disk, as dnssec-keygen names its files; made and written there when there are none.

    The zone's DS records are kept beside them in `dsset-ZONE.`. Raises KeyFormatError.
    """
    keys = _keys_on_disk(machine, zone)
    if any(key.record.flags & ENTRY_POINT for key in keys):
        return tuple(keys)
    keys += zone_keys(zone, iter(lambda: machine.rng.randbytes(MATERIAL), b""), split)
    for key in keys:
        _write(machine, key)
    dsset = "".join(f"{anchor}\n" for anchor in anchors(keys))
    machine.disk.write(f"{DIRECTORY}/dsset-{_stem(zone)}.", dsset.encode())
    return tuple(keys)


def _keys_on_disk(machine: Machine, zone: Name) -> list[Key]:
    disk = machine.disk
    stem = f"K{_stem(zone)}.+"
    try:
        names = [name for name in disk.list(DIRECTORY) if name.startswith(stem) and name.endswith(".private")]
    except FileNotFoundError:
        names = []
    keys = []
    for name in names:
        stem = f"{DIRECTORY}/{name.removesuffix('.private')}"
        try:
            key = read_key(disk.read(stem + ".key").decode("utf-8"), disk.read(stem + ".private").decode("utf-8"))
        except (KeyFormatError, FileNotFoundError, UnicodeDecodeError) as error:
            raise KeyFormatError(f"{stem}: {error}") from error
        if key.zone != zone:
            raise KeyFormatError(f"{stem}: expected a key of {name_text(zone)}, got one of {name_text(key.zone)}")
        keys.append(key)
    return keys


def _write(machine: Machine, key: Key) -> None:
    """The public part first: a private one without it is no key that can be read."""
    machine.disk.write(f"{DIRECTORY}/{key.file}.key", key.public_text().encode())
    machine.disk.write(f"{DIRECTORY}/{key.file}.private", key.private_text().encode())


def _stem(zone: Name) -> str:
    return name_text(zone).rstrip(".")


def _role(key: Key, split: bool) -> Role:
    if not key.entry_point:
        return "zsk"
    return "ksk" if split else "csk"


def roles_of(held: Sequence[Held]) -> tuple[Role, ...]:
    """The kinds of keys that a zone has in use."""
    return tuple(sorted({each.role for each in held if each.life.removed is None}))
