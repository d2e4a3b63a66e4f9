"""DNSSEC: keys, signed zones, proofs of absence, validation (RFC 4033-4035, 5155, 6605, 9276)."""
