"""Bounds of a registrar; every one is an option of its tap. Times in seconds."""

from dataclasses import dataclass

from netstack.sansio.bounds import all_positive


@dataclass(frozen=True, slots=True)
class RegistrarLimits:
    """What clients may cost."""

    domains: int = 10_000
    """Registered at once: 503."""
    changes: int = 100
    """Changes under way at once, those that wait for another change of the same domain included: 503."""
    client_changes: float = 5.0
    """Changes that one client's address may ask for in a second, as many at once: 429."""
    wrong_secrets: int = 10
    """Wrong secrets for one domain, then it takes none for `wrong_seconds`: 429."""
    wrong_seconds: float = 60.0
    patience: float = 5.0
    """For the registry's answer to an update; after that the registrar goes on trying by itself (202)."""
    first_retry: float = 1.0
    """Before a change that the registry did not answer is sent again; doubled each time."""
    most_retry: float = 300.0

    def __post_init__(self) -> None:
        all_positive(self)
