"""Typed access to the values of a settings file; an error names file, setting and what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

from refstack_worker.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Values:
    """Name → value, and where they were read. Each method returns ``default`` for what is not given."""

    given: Mapping[str, Any]
    where: str

    def wrong(self, name: str, what: str) -> ConfigError:
        """Return the error to raise for a setting (the value is not shown: it may be a password)."""
        return ConfigError(f"{self.where}: {name} {what}")

    def text(self, name: str, default: str) -> str:
        value = self.given.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "must be text in quotes")
        return value

    def texts(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return several texts; a single one may stand alone, or several in one text with commas."""
        value = self.given.get(name, default)
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise self.wrong(name, "must be a string or a list of strings")
        return tuple(value)

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """Return a number within bounds; one in quotes is taken too."""
        value = self.given.get(name, default)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise self.wrong(name, "must be a number") from None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise self.wrong(name, f"must be a number from {least:g} to {most:g}")
        return value

    def whole(self, name: str, default: int, least: float, most: float) -> int:
        """Return a whole number within bounds; one in quotes is taken too."""
        value = self.number(name, default, least, most)
        if value != int(value):
            raise self.wrong(name, f"must be a whole number from {least:g} to {most:g}")
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.given.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "must be True or False")
        return value

    @overload
    def path(self, name: str, default: Path) -> Path: ...
    @overload
    def path(self, name: str, default: None) -> Path | None: ...
    def path(self, name: str, default: Path | None) -> Path | None:
        value = self.text(name, str(default or ""))
        return Path(value) if value else default

    def sections(self, name: str) -> dict[str, dict[str, Any]]:
        """Return options as section → option → value."""
        value = self.given.get(name, {})
        if not isinstance(value, dict) or not all(
            isinstance(key, str) and isinstance(section, dict) for key, section in value.items()
        ):
            raise self.wrong(name, "must be sections of options: {'identity': {'auth_version': 'v3'}}")
        return value
