"""Names of the numbers in GB/T 26875.3-2011: commands, types, systems, components, bits, analog values. Pure.

Kinds of alarms and names of metrics are those of the contract.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

CONTROL, SEND, CONFIRM, REQUEST, ANSWER, DENY = range(1, 7)

COMMANDS: Final = MappingProxyType(
    {
        CONTROL: "control",
        SEND: "send_data",
        CONFIRM: "confirm",
        REQUEST: "request",
        ANSWER: "answer",
        DENY: "deny",
    }
)

TYPES: Final = MappingProxyType(
    {
        1: "system_state",
        2: "component_state",
        3: "component_analog",
        4: "system_operation",
        5: "system_version",
        6: "system_config",
        7: "component_config",
        8: "system_time",
        21: "uitd_state",
        24: "uitd_operation",
        25: "uitd_version",
        26: "uitd_config",
        28: "uitd_time",
        61: "read_system_state",
        62: "read_component_state",
        63: "read_component_analog",
        64: "read_system_operation",
        65: "read_system_version",
        66: "read_system_config",
        67: "read_component_config",
        68: "read_system_time",
        81: "read_uitd_state",
        84: "read_uitd_operation",
        85: "read_uitd_version",
        86: "read_uitd_config",
        88: "read_uitd_time",
        89: "init_uitd",
        90: "set_uitd_time",
        91: "duty_check",
    }
)

SYSTEMS: Final = MappingProxyType(
    {
        0: "general",
        1: "fire alarm",
        10: "linkage controller",
        11: "hydrant",
        12: "sprinkler",
        13: "gas extinguishing",
        14: "water spray, pump",
        15: "water spray, pressure vessel",
        16: "foam",
        17: "powder",
        18: "smoke control",
        19: "fire doors",
        20: "lift",
        21: "broadcast",
        22: "emergency light",
        23: "fire power supply",
        24: "phone",
    }
)

COMPONENTS: Final = MappingProxyType(
    {
        0: "general",
        1: "controller",
        10: "combustible gas detector",
        11: "combustible gas detector, point",
        12: "combustible gas detector, stand-alone",
        13: "combustible gas detector, line",
        16: "electrical fire monitor",
        17: "residual current detector",
        18: "temperature detector, electrical",
        21: "detection circuit",
        22: "fire display panel",
        23: "manual call point",
        24: "hydrant button",
        25: "fire detector",
        30: "heat detector",
        31: "heat detector, point",
        32: "heat detector, point, S",
        33: "heat detector, point, R",
        34: "heat detector, line",
        35: "heat detector, line, S",
        36: "heat detector, line, R",
        37: "heat detector, fibre",
        40: "smoke detector",
        41: "smoke detector, ion",
        42: "smoke detector, optical",
        43: "smoke detector, beam",
        44: "smoke detector, aspirating",
        50: "combined detector",
        51: "combined detector, smoke and heat",
        52: "combined detector, light and heat",
        53: "combined detector, light and smoke",
        61: "flame detector, ultraviolet",
        62: "flame detector, infrared",
        69: "flame detector",
        74: "gas detector",
        78: "video fire detector",
        84: "module",
        85: "input module",
        86: "output module",
        87: "input and output module",
        88: "relay module",
        91: "fire pump",
        92: "fire tank",
        95: "spray pump",
        96: "water flow indicator",
        97: "signal valve",
        98: "alarm valve",
        99: "pressure switch",
        102: "fire door",
        121: "sounder",
    }
)

GAS_COMPONENTS: Final = frozenset({10, 11, 12, 13, 74})
NORMAL_BIT: Final = 0
FIRE_BIT: Final = 1

COMPONENT_BITS: Final = MappingProxyType(
    {
        1: "fire",
        2: "fault",
        3: "shielded",
        4: "supervisory",
        5: "started",
        6: "feedback",
        7: "delay",
        8: "power_fault",
    }
)
SYSTEM_BITS: Final = MappingProxyType(
    {
        1: "fire",
        2: "fault",
        3: "shielded",
        4: "supervisory",
        5: "started",
        6: "feedback",
        7: "delay",
        8: "mains_fault",
        9: "battery_fault",
        10: "bus_fault",
        11: "manual_mode",
        12: "config_changed",
        13: "reset",
    }
)
UITD_BITS: Final = MappingProxyType(
    {
        1: "fire",
        2: "fault",
        3: "mains_fault",
        4: "battery_fault",
        5: "link_fault",
        6: "line_fault",
    }
)
MOMENTS: Final = frozenset({"config_changed", "reset"})
"""Bits that tell of a moment, not of a level: they become events."""

SYSTEM_OPERATIONS: Final = (
    "reset",
    "silence",
    "manual_alarm",
    "cancel",
    "self_test",
    "confirm",
    "test",
)
UITD_OPERATIONS: Final = (
    "reset",
    "silence",
    "manual_alarm",
    "cancel",
    "self_test",
    "duty_check_answer",
    "test",
)


@dataclass(frozen=True, slots=True)
class Analog:
    """What an analog type counts.

    Attributes:
        step: unit of the standard for one count.
        unit: that unit.
        metric: metric of the contract, empty when it has none.
        factor: unit of the metric for one count.
    """

    step: float
    unit: str
    metric: str
    factor: float


ANALOGS: Final = MappingProxyType(
    {
        1: Analog(1, "", "count", 1),
        2: Analog(0.01, "m", "level_m", 0.01),
        3: Analog(0.1, "℃", "temperature_c", 0.1),
        4: Analog(0.1, "MPa", "pressure_kpa", 100),
        5: Analog(0.1, "kPa", "pressure_kpa", 0.1),
        6: Analog(0.1, "%LEL", "gas_lel_pct", 0.1),
        7: Analog(1, "s", "duration_s", 1),
        8: Analog(0.1, "V", "voltage_v", 0.1),
        9: Analog(0.1, "A", "current_a", 0.1),
        10: Analog(0.1, "L/s", "flow_lps", 0.1),
        11: Analog(0.1, "m³/min", "flow_lps", 100 / 60),
        12: Analog(1, "m/s", "", 1),
    }
)


def state_bits(state: int, names: "MappingProxyType[int, str]") -> list[str]:
    """Name all bits of a state that are set, in their order; bit 0 by its meaning: normal or test."""
    first = "normal" if state & 1 else "test"
    rest = [names.get(bit, f"bit{bit}") for bit in range(1, 16) if state >> bit & 1]
    return [first, *rest]


def operations(flags: int, names: tuple[str, ...]) -> list[str]:
    """Name the operations that the flags hold; bits the standard reserves are left out."""
    return [name for bit, name in enumerate(names) if flags >> bit & 1]
