"""Notices that the rule files changed, by their times and sizes."""

from collections.abc import Sequence
from pathlib import Path

from cloud.alerts import ruleset
from cloud.alerts.rule import Rule

_Print = tuple[tuple[str, int, int], ...]


class RuleWatch:
    """Watches one folder; a demand (SIGHUP) counts as a change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: _Print = ()
        self._demanded = False

    def load(self) -> Sequence[Rule]:
        """Read the rules; raises ConfigError when they cannot be used."""
        self._seen = self._print()
        return ruleset.load(self._folder)

    def demand(self) -> None:
        """Have the rules read anew at the next look; safe in a signal handler."""
        self._demanded = True

    def is_due(self) -> bool:
        """Tell, once for each change, whether the rules must be read anew."""
        now = self._print()
        due = self._demanded or now != self._seen
        self._seen, self._demanded = now, False
        return due

    def _print(self) -> _Print:
        try:
            files = sorted(path for path in self._folder.rglob("*") if path.is_file())
            stats = [(str(path), path.stat()) for path in files]
        except OSError:
            return ()
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
