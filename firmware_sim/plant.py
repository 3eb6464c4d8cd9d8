"""What the sensors look at: air in kitchens, water in pipes and tanks; a few lines of physics each.

Values follow daily demand, drift and noise. An incident bends them; `is_reached` tells when they
have come to where it becomes dangerous. Time is seconds of the plant, given by the caller.
"""

import math
from random import Random
from typing import Final, Protocol

from typing_extensions import override

from firmware_sim.clock import day_part

LEAK_PCT_PER_S: Final = 4.0
LEAK_LIMIT_PCT: Final = 20.0
LEAK_CEILING_PCT: Final = 62.0
LEAK_DISPERSAL_S: Final = 6.0
LOSS_KPA_PER_S: Final = 45.0
LOSS_LIMIT_KPA: Final = 100.0
LOSS_FLOOR_KPA: Final = 35.0
OVERFLOW_M_PER_S: Final = 0.3
OVERFLOW_LIMIT_M: Final = 3.9
OVERFLOW_CEILING_M: Final = 4.2


class Plant(Protocol):
    """One measured quantity."""

    incident: str

    def value(self, plant_s: float) -> float:
        """Give the true value at a moment; moments never go back."""
        ...

    def begin(self, plant_s: float) -> None:
        """Let the incident of this plant begin."""
        ...

    def end(self, plant_s: float) -> None:
        """Let the incident end; the value finds its way back."""
        ...

    def is_reached(self, value: float) -> bool:
        """Tell whether `value` is beyond the limit at which people must be told."""
        ...


class _Bent:
    """A quantity that an incident pushes away from its usual course at a constant rate."""

    rate_per_s: float
    recovery_s: float
    incident: str

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._push = 0.0
        self._last_s: float | None = None
        self._is_active = False

    def begin(self, plant_s: float) -> None:
        """Let the incident begin."""
        self._advance(plant_s)
        self._is_active = True

    def end(self, plant_s: float) -> None:
        """Let the incident end."""
        self._advance(plant_s)
        self._is_active = False

    def _advance(self, plant_s: float) -> None:
        passed_s = 0.0 if self._last_s is None else max(0.0, plant_s - self._last_s)
        self._last_s = plant_s
        if self._is_active:
            self._push += self.rate_per_s * passed_s
        elif self._push:
            self._push *= math.exp(-passed_s / self.recovery_s)
            if abs(self._push) < 0.01:
                self._push = 0.0


class KitchenAir(_Bent):
    """Combustible gas in %LEL: a little above zero, more while cooking, rising fast when a hose leaks."""

    rate_per_s = LEAK_PCT_PER_S
    recovery_s = LEAK_DISPERSAL_S
    incident = "gas_leak"

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._zero_pct = rng.uniform(0.1, 0.9)
        self.is_valve_open = True

    def value(self, plant_s: float) -> float:
        """Give %LEL; a closed valve ends the supply, so that the air clears even while the hose is broken."""
        was_active = self._is_active
        self._is_active = was_active and self.is_valve_open
        self._advance(plant_s)
        self._is_active = was_active
        self._push = min(self._push, LEAK_CEILING_PCT)
        cooking = max(0.0, math.sin(day_part(plant_s) * 4 * math.pi - 2.6)) * 0.6
        return max(0.0, self._zero_pct + cooking + self._push + self._rng.gauss(0, 0.08))

    def is_reached(self, value: float) -> bool:
        """Tell whether the gas is at a fifth of its lower explosive limit or above."""
        return value >= LEAK_LIMIT_PCT


class HydrantPipe(_Bent):
    """Water pressure in kPa: some 350, lower at the hours of demand, falling when a main breaks."""

    rate_per_s = -LOSS_KPA_PER_S
    recovery_s = 20.0
    incident = "pressure_loss"

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._usual_kpa = rng.uniform(325, 385)
        self._phase = rng.uniform(-0.02, 0.02)

    def value(self, plant_s: float) -> float:
        """Give gauge pressure in kPa."""
        self._advance(plant_s)
        self._push = max(self._push, LOSS_FLOOR_KPA - self._usual_kpa)
        # Demand peaks in the morning and in the evening, the network is quiet at night.
        demand = (1 - math.cos((day_part(plant_s) + self._phase) * 4 * math.pi)) * 9
        drawn = self._usual_kpa - demand + self._push + self._rng.gauss(0, 0.7)
        return max(0.0, drawn)

    def is_reached(self, value: float) -> bool:
        """Tell whether the pressure is below the static floor (GB 50974: 0.10 MPa at the worst point)."""
        return value < LOSS_LIMIT_KPA


class WaterTank(_Bent):
    """Level in m: a pump fills when it is low, demand drains it; it overflows when the float valve sticks."""

    rate_per_s = OVERFLOW_M_PER_S
    recovery_s = 30.0
    incident = "overflow"

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._low_m = rng.uniform(2.1, 2.3)
        self._high_m = self._low_m + rng.uniform(0.5, 0.7)
        self._cycle_s = rng.uniform(5400, 9000)
        self._offset_s = rng.uniform(0, self._cycle_s)

    def value(self, plant_s: float) -> float:
        """Give the level above the bottom in m."""
        self._advance(plant_s)
        part = ((plant_s + self._offset_s) % self._cycle_s) / self._cycle_s
        # One quarter of a cycle fills, the rest drains.
        filled = part * 4 if part < 0.25 else (1 - part) / 0.75
        usual_m = self._low_m + filled * (self._high_m - self._low_m)
        self._push = min(self._push, OVERFLOW_CEILING_M - usual_m)
        return max(0.0, usual_m + self._push + self._rng.gauss(0, 0.003))

    def is_reached(self, value: float) -> bool:
        """Tell whether water stands above the overflow pipe."""
        return value >= OVERFLOW_LIMIT_M


class Steady(_Bent):
    """A value that somebody set by hand, for tests and for examples."""

    rate_per_s = 0.0
    recovery_s = 1.0
    incident = "none"

    def __init__(self, rng: Random, level: float) -> None:
        super().__init__(rng)
        self.level = level

    @override
    def begin(self, plant_s: float) -> None:
        """Change nothing: the value is set by hand."""

    def value(self, plant_s: float) -> float:
        """Give what was set."""
        self._advance(plant_s)
        return self.level

    def is_reached(self, value: float) -> bool:
        """Tell no: there is no limit."""
        return value != self.level
