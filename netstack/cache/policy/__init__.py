"""What the RFCs say about caching, as two questions: `plan` for a request, `received` for a response. No I/O, no clock.

RFC 9111, RFC 9110 §13-§14, RFC 5861, RFC 8246, RFC 9211, RFC 9213.
"""

from netstack.cache.policy.answering import Answer
from netstack.cache.policy.combining import Piece
from netstack.cache.policy.planning import plain, plan, whole_request
from netstack.cache.policy.plans import Action, Final, Forward, Outcome, Plan, Serve, Stale, Why
from netstack.cache.policy.receiving import completed, failed, received

__all__ = [
    "Action", "Answer", "Final", "Forward", "Outcome", "Piece", "Plan", "Serve", "Stale", "Why",
    "completed", "failed", "plain", "plan", "received", "whole_request",
]  # fmt: skip
