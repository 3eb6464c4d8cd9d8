"""The kinds of rules, one file each, found by their files."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from cloud.alerts.rule import Rule


@cache
def rule_kinds() -> Mapping[str, type[Rule]]:
    """Find every kind of rule; the file's name is the `kind` in the configuration.

    Raises:
        TypeError: a file has no `KIND`, a Rule whose `kind` is the file's name.
    """
    found: dict[str, type[Rule]] = {}
    for module in pkgutil.iter_modules(__path__):
        kind = getattr(importlib.import_module(f"{__name__}.{module.name}"), "KIND", None)
        if not (isinstance(kind, type) and issubclass(kind, Rule) and "kind" in kind.model_fields):
            raise TypeError(f"cloud/alerts/rules/{module.name}.py must have KIND, a Rule")
        found[module.name] = kind
    return MappingProxyType(found)
