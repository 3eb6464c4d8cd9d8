"""Errors of the edge, one class per reaction of the caller."""


class EdgeError(Exception):
    """Root of everything the edge raises on purpose."""


class FrameError(EdgeError):
    """Bytes arrived but do not form a valid frame: count it, drop it, keep listening."""


class DeviceUnavailableError(EdgeError):
    """No answer in time: mark the device offline and back off."""


class DeviceRefusedError(EdgeError):
    """The device answered that it will not: report it with the device's reason, do not retry at once."""


class SpoolFullError(EdgeError):
    """The disk takes no more: readings were dropped and counted; alarms could not be kept either."""


class SpoolLockedError(EdgeError):
    """Another process has the spool: refuse to start, since two would number the same messages."""


class LinkLostError(EdgeError):
    """The broker cannot be reached or went silent: connect again after a pause."""
