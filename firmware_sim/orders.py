"""What a twin can be told to do, by the control channel or by a scenario."""

from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field


class Deed(StrEnum):
    """One thing that can happen to a device."""

    FIRE = "fire"
    GAS_LEAK = "gas_leak"
    PRESSURE_LOSS = "pressure_loss"
    OVERFLOW = "overflow"
    SILENCE = "silence"
    RESTORE = "restore"
    FAULT = "fault"
    TEST = "test"
    FLOOD = "flood"


class Order(BaseModel):
    """One order to one device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Deed
    device: str
    fault: str | None = Field(default=None, description="Which fault; empty: the sensor's own.")
    on: bool = Field(default=True, description="Switch the fault on, or off.")
    number: float | None = Field(
        default=None, ge=0, le=1e6, description="Code, seconds or count of the fault."
    )
    for_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Undo it after so many seconds."
    )


class Emit(Protocol):
    """Where twins tell what happened."""

    def __call__(self, event: str, **facts: object) -> None:
        """Take one event, `sent` or `write`, with its facts."""
        ...


class Twin(Protocol):
    """One device in software that takes orders."""

    def carry_out(self, order: Order) -> None:
        """Do it now.

        Raises:
            OrderError: this kind of device cannot do that.
        """
        ...
