"""The demonstration community: made from a seed, written as the files an installer would write by hand."""

from firmware_sim.fleet.files import FleetSummary, Site, ports_needed, write_fleet
from firmware_sim.fleet.model import Scale

__all__ = ["FleetSummary", "Scale", "Site", "ports_needed", "write_fleet"]
