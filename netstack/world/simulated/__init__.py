"""The simulated Internet: the same services on virtual hosts, in virtual time, from one seed."""

from netstack.world.simulated.host import SimulatedHost
from netstack.world.simulated.network import AccessNetwork, Link
from netstack.world.simulated.scheduler import TimeStandsStill
from netstack.world.simulated.simulation import Outcome, Simulation, SimulationFailed
from netstack.world.simulated.tripwires import Tripped

__all__ = [
    "AccessNetwork",
    "Link",
    "Outcome",
    "SimulatedHost",
    "Simulation",
    "SimulationFailed",
    "TimeStandsStill",
    "Tripped",
]
