"""uv, the resolver and builder, in an environment that nothing of this machine but its indexes can change.

uv reads the ``pyproject.toml`` and ``uv.toml`` of the current folder and of those above it, the user's and the system's
``uv.toml``, and some eighty variables ``UV_*``: overrides, constraints, other Pythons. Of all these only what says
where packages are, and how to get at them, is passed on; so the same question has the same answer everywhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from refstack_worker import process
from refstack_worker.environments.lock import tomllib
from refstack_worker.errors import BuildError, ProcessError

SECONDS = 1800
"""A resolver or a build that has not ended in that time will not."""

PASSED_ON = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INDEX_\w+_(USERNAME|PASSWORD)|INDEX_STRATEGY|FIND_LINKS"
    r"|KEYRING_PROVIDER|INSECURE_HOST|NATIVE_TLS|SYSTEM_CERTS|HTTP_\w+|OFFLINE|CACHE_DIR|CREDENTIALS_DIR|CONCURRENT_\w+)"
)
"""Variables of uv's that say where packages are and how to get at them."""

INDEX_KEYS = frozenset(
    {"index", "index-url", "extra-index-url", "find-links", "index-strategy", "keyring-provider", "native-tls",
     "system-certs", "allow-insecure-host", "http-proxy", "https-proxy", "no-proxy", "offline", "cache-dir"}
)  # fmt: skip
"""The same in ``uv.toml``."""

SYSTEM_CERTS = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
"""Two names of one switch: without it uv knows the public authorities alone, none that were added to the system's."""

INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")


@dataclass(frozen=True)
class Uv:
    """uv and the settings that it is given."""

    program: Path
    work: Path
    """An empty folder; uv is started there, and its only configuration is in it."""
    index: str = ""
    """A package index other than uv's own; may hold a user and a token."""
    ca_file: str = ""
    """The authorities to trust, and no others; empty: the system's."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of uv: an index goes in here, not on a command line, because it may hold a token."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if PASSED_ON.fullmatch(name) or not name.startswith(("UV_", "VIRTUAL_ENV", "PYTHON"))
        }
        chosen = {*kept, *(f"UV_{key.upper().replace('-', '_')}" for key in _machine_settings())}
        if chosen.isdisjoint(SYSTEM_CERTS):
            kept.update(dict.fromkeys(SYSTEM_CERTS, "true"))
        if self.ca_file:
            kept["SSL_CERT_FILE"] = self.ca_file
        return {**kept, **({"UV_DEFAULT_INDEX": self.index} if self.index else {})}

    def run(self, words: Sequence[str | Path], extra: Mapping[str, str] | None = None) -> process.Completed:
        """Run uv to its end, whatever its status; ``extra`` is added to its environment.

        :raises ProcessError: it does not start or takes too long.
        """
        config = self.work / "uv.toml"
        if not config.exists():
            config.write_text(toml(_machine_settings()))
        env = {**self.environment, **(extra or {})}
        options = process.Options(cwd=self.work, env=env, timeout=SECONDS, check=False)
        return process.run([self.program, *words, "--config-file", config, "--no-sources"], options)

    def with_credentials(self, url: str) -> str:
        """Return an address of uv's answer with the user and token of its index, which uv leaves out."""
        parts = urlsplit(url)
        for index in self._indexes():
            known = urlsplit(index)
            user, at, host = known.netloc.rpartition("@")
            if at and (known.scheme, host) == (parts.scheme, parts.netloc):
                return urlunsplit(parts._replace(netloc=f"{user}@{host}"))
        return url

    def _indexes(self) -> Iterator[str]:
        env = self.environment
        for name in INDEXES:
            # an index may be written as name=URL
            yield from (re.sub(r"^[\w-]+=(?=\w+:)", "", word) for word in env.get(name, "").split())
        yield from _urls(_machine_settings())


def _machine_settings() -> dict[str, Any]:
    """Return what the system's and the user's ``uv.toml`` say about indexes; the user's come first."""
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "uv" / "uv.toml"
    own = os.environ.get("UV_CONFIG_FILE")
    found: dict[str, Any] = {}
    for path in (Path("/etc/uv/uv.toml"), Path(own) if own else user):
        try:
            settings = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for key, value in {**settings.get("pip", {}), **settings}.items():
            if key in INDEX_KEYS:
                found[key] = [*value, *found.get(key, [])] if isinstance(value, list) else value
    return found


def _urls(settings: Mapping[str, Any]) -> Iterable[str]:
    tables = [table.get("url", "") for table in settings.get("index", [])]
    return [str(url) for url in (*tables, settings.get("index-url", ""), *settings.get("extra-index-url", [])) if url]


def toml(settings: Mapping[str, Any]) -> str:
    """Return settings as TOML, one a line."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in settings.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value)  # of text, numbers and truth TOML's notation is JSON's


def find_uv(cache: Path) -> Path:
    """Return uv: the one beside this interpreter, the one on the path, or one put in a virtualenv in ``cache``.

    :raises BuildError: it cannot be installed either.
    """
    own = cache / "uv" / "bin" / "uv"
    for found in (Path(sysconfig.get_path("scripts")) / "uv", shutil.which("uv"), own):
        if found and os.access(found, os.X_OK):
            return Path(found)
    try:
        process.run([sys.executable, "-m", "venv", own.parent.parent])
        process.run([own.parent / "python", "-m", "pip", "install", "--quiet", "uv"])
    except ProcessError as error:
        hint = "install uv, or give this machine a package index"
        raise BuildError(f"uv is missing and cannot be installed: {error}; {hint}") from error
    return own
