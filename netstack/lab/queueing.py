"""What queueing theory says about a link: pure functions, times in seconds, each with the formula that it is.

A link is a server that takes the same time for each object (D), objects come at random, independently of each other (M):
M/D/1 with an unbounded queue, first come, first served.
"""

from collections.abc import Iterable
from math import exp, floor, lgamma, log, sqrt


class Saturated(ValueError):
    """As much comes as the link carries, or more: there is no steady state."""


def utilisation(per_second: float, bits: float, rate_bps: float) -> float:
    """The part of the time that a link is busy, L a / R: the chapter's traffic intensity."""
    return per_second * bits / rate_bps


def mean_wait(per_second: float, service: float) -> float:
    """Mean time in the queue in steady state, ρ S / 2 (1 - ρ) (Pollaczek-Khinchine with a constant service time S).

    Raises Saturated for ρ of 1 and more.
    """
    busy = per_second * service
    if busy >= 1:
        raise Saturated(f"utilisation {busy:g}: the queue has no steady state")
    return busy * service / (2 * (1 - busy))


def saturated_wait(at: float, service: float) -> float:
    """Mean time in the queue for who comes `at` seconds after an empty start, where ρ is exactly 1.

    By Spitzer's identity it is the integral over s from 0 to `at` of E max(0, S N(s) - s) / s, N(s) being the Poisson
    count of s/S expected arrivals; with m = s/S the expectation is S e^-m m^(floor(m) + 1) / floor(m)! (de Moivre). For long
    times it grows as sqrt(2 S at / π).
    """
    steps = 2000
    width = sqrt(at) / steps
    total = 0.0
    for step in range(steps):  # over u = sqrt(s), where the integrand is smooth
        u = (step + 0.5) * width
        m = u * u / service
        whole = floor(m)
        total += service * exp((whole + 1) * log(m) - m - lgamma(whole + 1)) * 2 / u * width
    return total


def saturated_mean_wait(span: float, service: float) -> float:
    """The mean of `saturated_wait` over all who come within a span."""
    parts = 100
    return sum(saturated_wait((part + 0.5) * span / parts, service) for part in range(parts)) / parts


def saturated_utilisation(span: float, service: float) -> float:
    """Mean part of a span that a link of ρ = 1 is busy: its idle time is as long, on average, as the wait at the end."""
    return 1 - saturated_wait(span, service) / span


def waits(arrivals: Iterable[float], service: float) -> list[float]:
    """The time in the queue of each of these arrivals (Lindley's recursion): the model without its averages."""
    free = float("-inf")
    found = []
    for at in arrivals:
        start = max(free, at)
        found.append(start - at)
        free = start + service
    return found
