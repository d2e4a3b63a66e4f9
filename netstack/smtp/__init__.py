"""SMTP: mail servers and clients that lose no message."""
