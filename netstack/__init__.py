"""The application layer of the Internet on Twisted."""
