"""Settings declared once: a dataclass field says what a setting is called, means, defaults to and may be.

Reading a file, refusing a bad value, the list of known names and the table in the documentation all come from the
fields, so none of them can drift apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from refstack_worker.config.values import Values

Reader = Callable[[Values, str, Any], Any]
"""Takes the values of a file, a setting's name and its default; returns the setting's value or raises ConfigError."""


def between(least: float, most: float) -> dict[str, float]:
    """Return the bounds of a number, as a field carries them."""
    return {"least": least, "most": most}


def setting(
    name: str,
    default: Any,
    meaning: str,
    *,
    bounds: tuple[float, float] | None = None,
    read: Reader | None = None,
    shown: str | None = None,
    also: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """Declare a setting that has a name of its own in the file.

    :param meaning: one sentence for the documentation.
    :param bounds: smallest and largest number.
    :param read: reads what the field's type alone does not tell.
    :param shown: the default as the documentation shows it, when that is not the value itself.
    :param also: other names for the same setting.
    :param secret: the value may hold a password and is left out of ``repr``.
    """
    metadata: dict[str, Any] = {"name": name, "meaning": meaning, "read": read, "shown": shown, "also": also}
    if bounds:
        metadata.update(between(*bounds))
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), repr=not secret, metadata=metadata)
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


def default_of(item: dataclasses.Field[Any]) -> Any:
    """Return the default of a field, made by its factory where it has one."""
    factory: Any = item.default_factory
    return item.default if factory is dataclasses.MISSING else factory()


_BY_TYPE: Mapping[str, Callable[[Values, str, Any, Mapping[str, Any]], Any]] = {
    "str": lambda values, name, default, _: values.text(name, default),
    "bool": lambda values, name, default, _: values.flag(name, default),
    "int": lambda values, name, default, bounds: values.whole(
        name, default, bounds.get("least", 0), bounds.get("most", 10**9)
    ),
    "float": lambda values, name, default, bounds: values.number(name, default, bounds["least"], bounds["most"]),
    "Path": lambda values, name, default, _: values.path(name, default),
    "Path | None": lambda values, name, default, _: values.path(name, default),
    "tuple[str, ...]": lambda values, name, default, _: values.texts(name, default),
    "tuple[Path, ...]": lambda values, name, default, _: tuple(
        Path(text) for text in values.texts(name, tuple(map(str, default)))
    ),
}


def value_of(item: dataclasses.Field[Any], values: Values, name: str, default: Any) -> Any:
    """Return the value of one field, read as its type or its own reader says.

    :raises ConfigError: the file has a value that the setting cannot take.
    """
    read: Reader | None = item.metadata.get("read")
    return read(values, name, default) if read else _BY_TYPE[str(item.type)](values, name, default, item.metadata)


def read_group(kind: type[Any], values: Values) -> Any:
    """Return an object of ``kind`` with the value of each of its settings.

    :raises ConfigError: see :func:`value_of`.
    """
    return kind(
        **{
            item.name: value_of(item, values, item.metadata["name"], default_of(item))
            for item in dataclasses.fields(kind)
        }
    )


def names_of(kinds: tuple[type[Any], ...]) -> Iterator[str]:
    """Yield every name under which a setting of these groups can stand in the file."""
    for kind in kinds:
        for item in dataclasses.fields(kind):
            yield item.metadata["name"]
            yield from item.metadata["also"]


def table(kinds: tuple[type[Any], ...]) -> str:
    """Return the settings of these groups as a Markdown table: name, default, meaning."""
    rows = ["| name | default | meaning |", "|---|---|---|"]
    for kind in kinds:
        for item in dataclasses.fields(kind):
            names = ", ".join(f"`{name}`" for name in (item.metadata["name"], *item.metadata["also"]))
            rows.append(f"| {names} | {_shown(item)} | {item.metadata['meaning']} |")
    return "\n".join(rows)


def _shown(item: dataclasses.Field[Any]) -> str:
    given: str | None = item.metadata["shown"]
    if given is not None:
        return given
    if item.default in (None, "", ()):
        return "none"
    if isinstance(item.default, (str, Path)):
        return f'`"{item.default}"`'
    if isinstance(item.default, tuple):
        return "`[" + ", ".join(f'"{each}"' for each in item.default) + "]`"
    return f"`{item.default:g}`" if isinstance(item.default, float) else f"`{item.default}`"
