"""The contract of an engine: pure protocol logic without sockets, clocks, randomness or files."""

from netstack.sansio.buffers import ByteBuffer
from netstack.sansio.contract import (
    Abort,
    Address,
    Close,
    CloseWrite,
    Command,
    DatagramEngine,
    Engine,
    Event,
    FileSlice,
    Flush,
    HandOver,
    Message,
    Now,
    Peer,
    Readable,
    Recorder,
    Security,
    StartTLS,
    Timeless,
)
from netstack.sansio.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from netstack.sansio.transitions import Transitions

__all__ = [
    "Abort",
    "Address",
    "ByteBuffer",
    "Close",
    "CloseWrite",
    "Command",
    "DatagramEngine",
    "Engine",
    "Event",
    "FileSlice",
    "Flush",
    "HandOver",
    "LocalProtocolError",
    "Message",
    "Now",
    "Peer",
    "ProtocolError",
    "Readable",
    "Recorder",
    "RemoteProtocolError",
    "Security",
    "StartTLS",
    "Timeless",
    "Transitions",
]
