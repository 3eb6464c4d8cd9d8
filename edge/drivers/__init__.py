"""The kinds of drivers, one folder each, found by their folders."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from edge.driver import DriverKind


@cache
def driver_kinds() -> Mapping[str, DriverKind]:
    """Find every driver kind; the folder's name is the kind in the configuration.

    Raises:
        TypeError: a folder's `driver.py` has no `KIND` of its own name.
    """
    found: dict[str, DriverKind] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.ispkg:
            continue
        kind = getattr(importlib.import_module(f"{__name__}.{module.name}.driver"), "KIND", None)
        if not isinstance(kind, DriverKind) or kind.kind != module.name:
            raise TypeError(
                f"edge/drivers/{module.name}/driver.py must have KIND = DriverKind({module.name!r}, …)"
            )
        found[module.name] = kind
    return MappingProxyType(found)
