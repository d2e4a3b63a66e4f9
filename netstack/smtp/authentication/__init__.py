"""Who a message is from: SPF, DKIM, DMARC, and what is said about it (RFC 7208, 6376, 7489, 8601)."""
