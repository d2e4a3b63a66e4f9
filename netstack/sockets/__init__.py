"""The socket-programming section: sentences sent over UDP, TCP and TLS come back in upper case."""

from netstack.sockets.answers import MODES, upper, word_lengths
from netstack.sockets.client import NoAnswer, ask_datagram, ask_stream
from netstack.sockets.engine import Bounds
from netstack.sockets.service import SentenceService

__all__ = ["MODES", "Bounds", "NoAnswer", "SentenceService", "ask_datagram", "ask_stream", "upper", "word_lengths"]
