"""The control socket of a process that runs hosts: its place, its protocol and its verbs."""

from netstack.world.control.paths import (
    AlreadyRunning,
    Claim,
    NoPrivateDirectory,
    control_socket,
    names_in_use,
    runtime_directory,
    state_directory,
)
from netstack.world.control.server import ControlError, ControlLimits, ControlServer, Stream, Verb

__all__ = [
    "AlreadyRunning",
    "Claim",
    "ControlError",
    "ControlLimits",
    "ControlServer",
    "NoPrivateDirectory",
    "Stream",
    "Verb",
    "control_socket",
    "names_in_use",
    "runtime_directory",
    "state_directory",
]
