"""What a lab says: claims, each with the model's number, the measured one and the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Claim:
    """One number of the chapter and what became of it."""

    claim: str
    model: float
    measured: float | None
    """None: it could not be measured, which is a failure."""
    tolerance: float = 0.0
    """The part of the model's number by which the measured one may differ: 0.03 is 3 %. 0: they are equal."""
    unit: str = ""
    why: str = ""
    """Why it could not be measured."""
    note: str = ""
    """What a reader should know beside the numbers."""

    @property
    def passed(self) -> bool:
        """The verdict. NaN never passes."""
        return self.measured is not None and abs(self.measured - self.model) <= self.tolerance * abs(self.model)

    @property
    def difference(self) -> float | None:
        """Measured against model, as a part of the model; None where there is no such number."""
        if self.measured is None or self.model == 0:
            return None
        return self.measured / self.model - 1

    def as_json(self) -> dict[str, Any]:
        """As `lab run --json` shows it."""
        shown = {
            "claim": self.claim,
            "model": self.model,
            "measured": self.measured,
            "tolerance": self.tolerance,
            "pass": self.passed,
        }
        told = {"why": self.why, "note": self.note}
        return {**shown, **{name: text for name, text in told.items() if text}}


@dataclass(frozen=True, slots=True)
class Result:
    """One run of a lab."""

    lab: str
    on: str
    seed: int
    claims: Sequence[Claim]
    title: str = ""
    not_shown: Sequence[str] = ()
    """What of the question the lab does not show, and why."""

    @property
    def passed(self) -> bool:
        """All claims hold, and there is at least one."""
        return bool(self.claims) and all(claim.passed for claim in self.claims)

    def as_json(self) -> dict[str, Any]:
        """As `lab run --json` shows it."""
        shown: dict[str, Any] = {
            "lab": self.lab,
            "on": self.on,
            "seed": self.seed,
            "claims": [claim.as_json() for claim in self.claims],
        }
        return {**shown, "not_shown": list(self.not_shown)} if self.not_shown else shown
