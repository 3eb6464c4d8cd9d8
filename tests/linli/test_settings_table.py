"""Settings told from a schema: nothing left out, bounds as people write them."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from linli.reference import FILES
from linli.settings_table import Setting, SettingsTable, settings_table


class Inner(BaseModel):
    port: int = Field(ge=1, le=65535, description="Port.")
    factor: float = Field(default=1.5, gt=0, description="Factor.")


class One(BaseModel):
    kind: Literal["one"] = Field(description="Kind.")
    names: tuple[str, ...] = Field(default=(), max_length=3, description="Names.")


class Two(BaseModel):
    kind: Literal["two"] = Field(description="Kind.")
    level: Literal["low", "high"] = Field(default="low", description="Low | high.")


class File(BaseModel):
    inner: Inner | None = Field(default=None, description="May be left out.")
    items: tuple[Inner, ...] = Field(min_length=1, description="Some.")
    variant: Annotated[One | Two, Field(discriminator="kind")] = Field(description="Either.")
    many: tuple[Annotated[One | Two, Field(discriminator="kind")], ...] = Field(
        default=(), description="Any."
    )


def rows() -> dict[str, Setting]:
    return {row.path: row for row in SettingsTable(File.model_json_schema()).rows()}


def test_every_leaf_is_a_row_with_its_kind_in_the_path() -> None:
    assert list(rows()) == [
        "inner", "inner.port", "inner.factor",
        "items", "items[].port", "items[].factor",
        "variant[one].kind", "variant[one].names", "variant[two].kind", "variant[two].level",
        "many", "many[one].kind", "many[one].names", "many[two].kind", "many[two].level",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "fits", "default"),
    [
        ("inner", "mapping", ""),
        ("inner.port", "whole number, 1 to 65535", "required"),
        ("inner.factor", "number, above 0", "`1.5`"),
        ("items", "list, at least 1", "required"),
        ("variant[one].kind", "`one`", "required"),
        ("variant[one].names", "list of text, at most 3", ""),
        ("variant[two].level", "`low`, `high`", "`low`"),
    ],
)
def test_bounds_and_defaults_are_told(path: str, fits: str, default: str) -> None:
    assert (rows()[path].fits, rows()[path].default) == (fits, default)


def test_a_bar_does_not_break_the_table() -> None:
    assert "| Low \\| high. |" in settings_table(File.model_json_schema())


@pytest.mark.parametrize("title", sorted(FILES))
def test_every_setting_of_a_file_says_what_it_means_and_what_fits(title: str) -> None:
    found = list(SettingsTable(FILES[title][1]()).rows())
    assert len(found) > 10
    assert [row.path for row in found if not row.meaning or not row.fits] == []
