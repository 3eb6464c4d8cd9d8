"""The hand-written names, and pairs of them that do not repeat."""

from pathlib import Path
from random import Random

from pydantic import BaseModel, ConfigDict, Field

from contract.config_text import read_yaml, validate

Pair = tuple[str, str]


class SiteName(BaseModel):
    """The community itself."""

    model_config = ConfigDict(extra="forbid")

    id: str
    zh: str
    en: str
    width_m: float = Field(gt=0)
    depth_m: float = Field(gt=0)


class StreetName(BaseModel):
    """A street, in both languages."""

    model_config = ConfigDict(extra="forbid")

    zh: str
    en: str


class Names(BaseModel):
    """The file names.yaml; every pair is Chinese, English."""

    model_config = ConfigDict(extra="forbid")

    site: SiteName
    streets: list[StreetName] = Field(min_length=1)
    edges: list[str] = Field(min_length=4)
    shop_owners: list[Pair]
    shop_trades: list[Pair]
    restaurant_owners: list[Pair]
    restaurant_kinds: list[Pair]


def read_names(path: Path) -> Names:
    """Read the names.

    Raises:
        ConfigError: the file is wrong.
        OSError: it cannot be read.
    """
    return validate(read_yaml(path.read_text(encoding="utf-8"), path.name), Names)


def draw(owners: list[Pair], kinds: list[Pair], count: int, rng: Random) -> list[Pair]:
    """Draw `count` names of two parts, none twice.

    Raises:
        ValueError: there are not enough of them.
    """
    every = [(f"{a[0]}{b[0]}", f"{a[1]} {b[1]}") for a in owners for b in kinds]
    return rng.sample(every, count)
