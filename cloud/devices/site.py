"""The site file: places, edges, positions, as an installer writes them; every mistake told at once."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cloud.devices.model import Place, PlaceKind, Site
from contract import config_text
from contract.config_text import ConfigError, Document, Mistake
from contract.ids import is_name

_PATH: Final = r"^[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*){0,2}$"
_DEPTHS: Final = {PlaceKind.BUILDING: 1, PlaceKind.FLOOR: 2, PlaceKind.ROOM: 3}
_PARENTS: Final = {PlaceKind.FLOOR: PlaceKind.BUILDING, PlaceKind.ROOM: PlaceKind.FLOOR}


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError("not an id: lower-case letters, digits and single hyphens, at most 64")
    return text


Id = Annotated[str, AfterValidator(_name)]
Metres = Annotated[float, Field(ge=-100_000, le=100_000, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
Label = Annotated[str, Field(min_length=1, max_length=120)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SitePart(_Part):
    """The community itself."""

    id: Id = Field(description="First part of every device id.")
    name_zh: Label = Field(description="Name on Chinese screens.")
    name_en: Label = Field(description="Name on English screens.")
    width_m: Length = Field(description="Width of the site plan in metres.")
    depth_m: Length = Field(description="Depth of the site plan in metres.")


class PlacePart(_Part):
    """One building, floor or room."""

    path: str = Field(
        pattern=_PATH, max_length=120, description="`b01`, `b01/f02`, `b01/f02/r201`."
    )
    kind: PlaceKind = Field(description="building, floor or room; must fit the depth of the path.")
    name_zh: Label = Field(description="Name on Chinese screens.")
    name_en: Label = Field(description="Name on English screens.")
    x: Metres | None = Field(default=None, description="Metres from the left edge of the plan.")
    y: Metres | None = Field(default=None, description="Metres from the upper edge of the plan.")
    width: Length | None = Field(default=None, description="Metres.")
    depth: Length | None = Field(default=None, description="Metres.")
    floors: int | None = Field(default=None, ge=1, le=200, description="Floors of a building.")

    def place(self) -> Place:
        """Give it as the noun the rest of the cloud knows."""
        return Place(**self.model_dump())


class EdgePart(_Part):
    """One edge node that belongs to this site."""

    id: Id = Field(description="The edge's id, also its name at the broker.")
    name: Label = Field(description="Name on screens.")


class DevicePart(_Part):
    """Where one device stands on the site plan."""

    id: Id = Field(description="The device's id.")
    x: Metres = Field(description="Metres from the left edge of the site plan.")
    y: Metres = Field(description="Metres from the upper edge of the site plan.")


class SiteFile(_Part):
    """A whole site file."""

    site: SitePart = Field(description="The community.")
    places: tuple[PlacePart, ...] = Field(
        default=(), max_length=50_000, description="Parents first or last, in any order."
    )
    edges: tuple[EdgePart, ...] = Field(
        default=(), max_length=10_000, description="The edge nodes."
    )
    devices: tuple[DevicePart, ...] = Field(
        default=(), max_length=200_000, description="Positions of devices."
    )

    def community(self) -> Site:
        """Give the community as the noun the rest of the cloud knows."""
        return Site(**self.site.model_dump())


def read_site(file: Path) -> SiteFile:
    """Read and check a site file completely.

    Raises:
        ConfigError: every mistake with its line: unreadable, wrong types, ids given twice, a floor
            without its building, a kind that does not fit the depth of its path.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Mistake(str(file), 0, "", f"cannot be read: {error}")]) from None
    return parse_site(text, file.name)


def parse_site(text: str, file: str) -> SiteFile:
    """Check a site file's text; raises ConfigError like `read_site`."""
    document = config_text.read_yaml(text, file)
    site = config_text.validate(document, SiteFile)
    mistakes = [*_place_mistakes(site, document)]
    for name, items in (("edges", site.edges), ("devices", site.devices)):
        ids = [item.id for item in items]
        mistakes += _doubles(document, name, "id", ids)
    if mistakes:
        raise ConfigError(mistakes)
    return site


def _doubles(document: Document, section: str, field: str, ids: list[str]) -> list[Mistake]:
    first: dict[str, int] = {}
    found = []
    for index, value in enumerate(ids):
        if value in first:
            line = document.line_of((section, first[value]))
            found.append(
                document.mistake(
                    (section, index, field), f"{value!r} stands already on line {line}"
                )
            )
        first.setdefault(value, index)
    return found


def _place_mistakes(site: SiteFile, document: Document) -> list[Mistake]:
    kinds = {place.path: place.kind for place in site.places}
    found = _doubles(document, "places", "path", [place.path for place in site.places])
    for index, place in enumerate(site.places):
        depth = place.path.count("/") + 1
        if depth != _DEPTHS[place.kind]:
            found.append(
                document.mistake(
                    ("places", index, "kind"),
                    f"a {place.kind} has a path of {_DEPTHS[place.kind]} parts, not {depth}",
                )
            )
            continue
        parent = place.path.rpartition("/")[0]
        if parent and kinds.get(parent) is not _PARENTS[place.kind]:
            found.append(
                document.mistake(
                    ("places", index, "path"),
                    f"{parent!r} is not in the file as a {_PARENTS[place.kind]}",
                    "add it to places",
                )
            )
    return found
