"""Several devices of one place say it: two smoke detectors in a building are a confirmed fire."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from cloud.alerts.model import Condition, Member
from cloud.alerts.rule import Rule, RuleId

_DEPTH = {"building": 1, "floor": 2, "room": 3}
MEMBERS_LIMIT = 2_000


class CombinationRule(Rule):
    """As written in `config/rules/*.yaml`."""

    kind: Literal["combination"]
    of: tuple[RuleId, ...] = Field(min_length=1, description="Rules whose alerts are counted.")
    at_least: int = Field(default=2, ge=2, le=1_000, description="So many distinct devices …")
    within_s: float = Field(default=180.0, gt=0, le=86_400, description="… within these seconds …")
    scope: Literal["building", "floor", "room"] = Field(description="… in one of these places.")
    inhibits: bool = Field(
        default=True, description="The single alerts are shown inside this one instead."
    )

    def place_of(self, place: str) -> str | None:
        """Give the place in which a device counts, None when it stands in none of this kind."""
        parts = place.split("/")
        depth = _DEPTH[self.scope]
        return "/".join(parts[:depth]) if place and len(parts) >= depth else None

    def with_member(
        self, condition: Condition, device: str, at: int, *, is_active: bool
    ) -> Condition:
        """Note that a device joined or left; `at` is event time, Unix ms."""
        others = [member for member in condition.members if member.device != device]
        known = next((member for member in condition.members if member.device == device), None)
        if is_active:
            others.append(Member(device, at, is_active=True))
        elif known is not None:
            others.append(replace(known, is_active=False))
        return replace(condition, members=tuple(others[-MEMBERS_LIMIT:]))

    def prune(self, condition: Condition, newest: int) -> Condition:
        """Forget devices that are over and out of the window; while it is on they are kept as its members."""
        if condition.level:
            return condition
        horizon = newest - round(self.within_s * 1000)
        kept = tuple(m for m in condition.members if m.is_active or m.at >= horizon)
        return replace(condition, members=kept)

    def judge(self, members: Sequence[Member], *, is_on: bool) -> bool:
        """Tell whether it is confirmed: once on, it lasts until no device says it any more."""
        if is_on:
            return any(member.is_active for member in members)
        return len(members) >= self.at_least


KIND = CombinationRule
