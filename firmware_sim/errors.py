"""Errors of the simulator, one class per reaction of the caller."""


class SimError(Exception):
    """Root of all errors of the simulator."""


class OrderError(SimError):
    """An order cannot be carried out by that device: tell the sender, keep running."""


class PlanError(SimError):
    """What to simulate is unknown or contradictory: say why and stop."""
