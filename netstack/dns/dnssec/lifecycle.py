"""The life of a zone's keys (RFC 6781 §4.1, RFC 7583 §3): when each is published, active, retired and removed; pure.

A ZSK is rolled over by pre-publication, a KSK by double signatures, a key that is both in both manners at once. Every wait
is counted from what was seen to be so (the key is in the zone that is served, no signature of the old one is left, the
parent has the DS record), so that a server that was down in between waits longer, never less.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import dns.dnssec
import dns.exception
import dns.rdata
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from netstack.dns.dnssec.keys import Key, KeyFormatError
from netstack.dns.dnssec.signer import Policy, Signing
from netstack.sansio.bounds import all_positive

Role = Literal["csk", "ksk", "zsk"]
ROLES: tuple[Role, ...] = ("csk", "ksk", "zsk")
State = Literal["made", "published", "active", "retired", "removed"]
REMEMBERED = 20
"""Removed keys whose records are known as ours."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Waits of a rollover, seconds."""

    safety: int = 3600
    """For a change to reach all servers of the zone, and of its parent (Dprp in RFC 7583 §3.1), and some more."""
    ds_ttl: int = 86400
    """Of the DS records, where the parent was not seen to have another."""

    def __post_init__(self) -> None:
        all_positive(self)


@dataclass(frozen=True, slots=True)
class Life:
    """What has happened to a key; times are seconds since 1970, None: not yet."""

    published: float | None = None
    """Its DNSKEY record is served since."""
    active: float | None = None
    """It signs the zone's data since."""
    retired: float | None = None
    """Another signs the data since."""
    replaced: float | None = None
    """No signature of it is left since."""
    submitted: float | None = None
    """The parent is asked for its DS record since (CDS, RFC 7344)."""
    seen: float | None = None
    """The parent has the DS record since."""
    superseded: float | None = None
    """The parent has another key's alone since."""
    ds_ttl: int = 0
    """Longest TTL of the DS records that were seen then."""
    removed: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A key of a zone. `key` None: it is removed and its private part may be gone."""

    file: str
    record: DNSKEY
    role: Role
    life: Life
    key: Key | None

    @property
    def tag(self) -> int:
        """RFC 4034 appendix B."""
        return dns.dnssec.key_id(self.record)

    @property
    def data(self) -> bool:
        """It is one of those that sign the zone's data."""
        return self.role != "ksk"

    @property
    def entry(self) -> bool:
        """The parent's DS records point at it."""
        return self.role != "zsk"

    @property
    def state(self) -> State:
        """As RFC 7583 §3.1 names them."""
        life = self.life
        if life.removed is not None:
            return "removed"
        if life.published is None:
            return "made"
        if life.retired is not None or life.superseded is not None:
            return "retired"
        done = (not self.data or life.active is not None) and (not self.entry or life.seen is not None)
        return "active" if done else "published"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so at a time."""

    wall: float
    key_ttl: int
    """Of the zone's DNSKEY records."""
    longest_ttl: int
    """Of all signed RRsets."""
    served: frozenset[DNSKEY]
    """Those records."""
    signing_tags: frozenset[int]
    """Key tags of the signatures over the zone's data."""
    parent: tuple[frozenset[int], int] | None = None
    """Key tags of the parent's DS records, the same at all its servers, and their TTL; None: not known."""


def initial(keys: Iterable[Key], wall: float) -> tuple[Held, ...]:
    """Keys of a zone that is signed for the first time: all in use, the parent's DS records as they may be."""
    keys = tuple(keys)
    split = any(not key.entry_point for key in keys)
    return tuple(
        held_key(key, "zsk" if not key.entry_point else "ksk" if split else "csk", Life(wall, wall, seen=wall))
        for key in keys
    )


def held_key(key: Key, role: Role, life: Life = Life()) -> Held:
    """A key of ours."""
    return Held(key.file, key.record, role, life, key)


def signing_of(held: Sequence[Held], policy: Policy) -> Signing:
    """What each key signs now."""
    here = [(each, each.key) for each in held if each.key is not None and each.life.removed is None]
    of_data = [key for each, key in here if each.data and each.life.active is not None and each.life.retired is None]
    # a key that the parent may point at signs the keys, from the moment that it is published (double signature)
    of_keys = [key for each, key in here if each.entry]
    current = [key for each, key in here if each.entry and each.life.superseded is None]
    waited_for = [key for each, key in here if each.life.submitted is not None and each.life.superseded is None]
    return Signing(
        tuple(key for _, key in here),
        tuple(of_keys),
        tuple(of_data or current or of_keys),
        policy,
        tuple(each.record for each in held if each.life.removed is not None),
        tuple(waited_for),
    )


def rolling(held: Sequence[Held], role: Role) -> bool:
    """Whether a rollover of such keys is under way."""
    return any(each.role == role and each.state not in ("active", "removed") for each in held)


def advance(held: Sequence[Held], facts: Facts, timing: Timing) -> tuple[Held, ...]:
    """The keys after all steps that are due; the same where none is."""
    now = tuple(held)
    while (then := _step(now, facts, timing)) != now:
        now = then
    return now


def _step(held: tuple[Held, ...], facts: Facts, timing: Timing) -> tuple[Held, ...]:
    wall = facts.wall
    for at, each in enumerate(held):
        life = each.life
        if life.removed is not None:
            continue
        if life.published is None:
            if each.record in facts.served:
                return _with(held, at, published=wall)
            continue
        known_everywhere = wall >= life.published + facts.key_ttl + timing.safety
        if each.entry and life.seen is None and life.submitted is None and known_everywhere:
            return _with(held, at, submitted=wall)
        if each.entry and life.submitted is not None and life.seen is None and facts.parent is not None:
            tags, ttl = facts.parent
            others = [it for it, other in enumerate(held) if it != at and other.entry and other.life.superseded is None]
            if each.tag in tags and not any(held[it].tag in tags for it in others):
                found = _with(held, at, seen=wall)
                for it in others:
                    found = _with(found, it, superseded=wall, ds_ttl=max(ttl, timing.ds_ttl))
                return found
        if each.data and life.active is None and known_everywhere:
            found = _with(held, at, active=wall)
            for it, other in enumerate(held):
                if it != at and other.data and other.life.active is not None and other.life.retired is None:
                    found = _with(found, it, retired=wall)
            return found
        if life.retired is not None and life.replaced is None and each.tag not in facts.signing_tags:
            return _with(held, at, replaced=wall)
        if _leaves_at(each, facts.longest_ttl, timing) <= wall:
            return _with(held, at, removed=wall)
    return held


def _leaves_at(each: Held, longest_ttl: int, timing: Timing) -> float:
    """When nobody needs the key any more; infinite: not known yet."""
    life = each.life
    never = float("inf")
    times = [-never]
    if each.data:
        times.append(never if life.replaced is None else life.replaced + longest_ttl + timing.safety)
    if each.entry:
        times.append(never if life.superseded is None else life.superseded + life.ds_ttl + timing.safety)
    return max(times)


def next_step(held: Sequence[Held], facts: Facts, timing: Timing) -> float:
    """When `advance` may have something to do again (seconds since 1970), what the parent and the zone show aside."""
    times = [float("inf")]
    for each in held:
        life = each.life
        if life.removed is not None:
            continue
        waits = (each.data and life.active is None) or (each.entry and life.seen is None and life.submitted is None)
        if life.published is not None and waits:
            times.append(life.published + facts.key_ttl + timing.safety)
        times.append(_leaves_at(each, facts.longest_ttl, timing))
    return min(times)


def waits_for_parent(held: Sequence[Held]) -> bool:
    """Whether the parent's DS records are to be looked at."""
    return any(each.life.submitted is not None and each.life.seen is None and each.life.removed is None for each in held)


def shifted(held: Sequence[Held], seconds: float) -> tuple[Held, ...]:
    """After the wall clock was set: the waits stay as long as they were."""
    times = ("published", "active", "retired", "replaced", "submitted", "seen", "superseded", "removed")
    moved = []
    for each in held:
        known = {name: getattr(each.life, name) for name in times if getattr(each.life, name) is not None}
        moved.append(replace(each, life=replace(each.life, **{name: time + seconds for name, time in known.items()})))
    return tuple(moved)


def _with(held: tuple[Held, ...], at: int, **changes: Any) -> tuple[Held, ...]:
    return (*held[:at], replace(held[at], life=replace(held[at].life, **changes)), *held[at + 1 :])


# On disk


def to_text(held: Sequence[Held]) -> str:
    """As it is kept beside the keys; of those removed the latest alone."""
    removed = [each for each in held if each.life.removed is not None]
    kept = [each for each in held if each.life.removed is None or each in removed[-REMEMBERED:]]
    keys = [{"file": each.file, "role": each.role, "record": each.record.to_text(), **asdict(each.life)} for each in kept]
    return json.dumps({"version": 1, "keys": keys}, indent=1) + "\n"


def from_text(text: str, keys: Iterable[Key]) -> tuple[Held, ...]:
    """From the disk, with the keys that are there; raises KeyFormatError where one in use is not."""
    known = {key.file: key for key in keys}
    found = []
    try:
        read = json.loads(text)
        for entry in read["keys"]:
            record = dns.rdata.from_text(RdataClass.IN, RdataType.DNSKEY, entry["record"])
            life = Life(**{field.name: entry[field.name] for field in fields(Life)})
            key = known.get(entry["file"])
            if entry["role"] not in ROLES or not isinstance(record, DNSKEY):
                raise KeyFormatError("expected keys with their roles")
            if life.removed is None and (key is None or key.record != record):
                raise KeyFormatError(f"the key {entry['file']}, which is in use, is not there")
            found.append(Held(entry["file"], record, entry["role"], life, key))
    except (ValueError, KeyError, TypeError, dns.exception.DNSException) as error:
        if isinstance(error, KeyFormatError):
            raise
        raise KeyFormatError(f"expected what was written there: {type(error).__name__}: {error}") from error
    return tuple(found)
