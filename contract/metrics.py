"""The one table of metrics: name, unit, names for people. Drivers, rules and screens use it."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Retention(StrEnum):
    """How long raw values are worth keeping; the days stand in the cloud's settings."""

    SAFETY = "safety"
    PROCESS = "process"
    HOUSEKEEPING = "housekeeping"


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number means.

    `unit` is what a screen prints after the number, empty for states and counts; `digits` is how
    many decimals are
    worth showing.
    """

    name: str
    unit: str
    zh: str
    en: str
    digits: int = 2
    retention: Retention = Retention.PROCESS


_TABLE: Final = (
    Metric("gas_lel_pct", "%LEL", "可燃气体浓度", "Combustible gas", 1, Retention.SAFETY),
    Metric("gas_ppm", "ppm", "气体浓度", "Gas", 0, Retention.SAFETY),
    Metric("pressure_kpa", "kPa", "水压", "Water pressure", 1, Retention.SAFETY),
    Metric("level_m", "m", "液位", "Level", 2, Retention.SAFETY),
    Metric("temperature_c", "°C", "温度", "Temperature", 1),
    Metric("flow_lps", "L/s", "流量", "Flow", 2),
    Metric("voltage_v", "V", "电压", "Voltage", 1),
    Metric("current_a", "A", "电流", "Current", 2),
    Metric("current_ma", "mA", "回路电流", "Loop current", 2),
    Metric("battery_pct", "%", "电量", "Battery", 0, Retention.HOUSEKEEPING),
    Metric("rssi_dbm", "dBm", "信号强度", "Signal strength", 0, Retention.HOUSEKEEPING),
    Metric("duration_s", "s", "时长", "Duration", 0, Retention.HOUSEKEEPING),
    Metric("count", "", "计数", "Count", 0, Retention.HOUSEKEEPING),
    Metric("status_word", "", "状态字", "Status word", 0, Retention.HOUSEKEEPING),
    Metric("component_state", "", "部件状态", "Component state", 0, Retention.HOUSEKEEPING),
    Metric("system_state", "", "系统状态", "System state", 0, Retention.HOUSEKEEPING),
    Metric("valve_open", "", "阀门开启", "Valve open", 0, Retention.SAFETY),
    Metric("sounder_on", "", "声光报警器", "Sounder on", 0, Retention.SAFETY),
)

METRICS: Final = MappingProxyType({metric.name: metric for metric in _TABLE})
