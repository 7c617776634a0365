"""A stand-in for a Debian machine: real files below a folder, and stand-ins for the programs that change it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gear

INSTALLER = Path(__file__).resolve().parents[2] / "installer"
sys.path.insert(0, str(INSTALLER))

from refstack_install.answers import answers as answering  # noqa: E402
from refstack_install.step import Context  # noqa: E402
from refstack_install.system import Completed, System  # noqa: E402

FLEET = "refstack-seal-private " + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
SERVERS = "refstack-sign-public " + "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
NODE = "node-1"
TEMPEST = "47.0.0"
LISTS = "var/lib/apt/lists/packages.example_refstack_apt_dists_stable_InRelease"

OFFERED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "refstack-archive-keyring": ("2026.1-1", ()),
    "refstack-worker": ("1.2.3-1", ("python3-refstack-worker", "refstack-execute-test", "adduser")),
    "refstack-execute-test": ("1.2.3-1", ()),
    "python3-refstack-worker": ("1.2.3-1", ("python3-gear",)),
    "python3-gear": ("0.16.0-1", ()),
    "adduser": ("3.134", ()),
    "refstack-tempest-47.0.0": ("47.0.0-1", ()),
    "refstack-tempest-43.0.0": ("43.0.0-1", ()),
}
KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawMX8xYJKwYBBAHaRw8BAQdA6z5I8WkoFmnnDAt31iDNW5pkCVtvQIWFuaig
VcnzVQe0JVJlZlN0YWNrIHRlc3RzIDxub25lQGV4YW1wbGUuaW52YWxpZD6IlgQT
FggAPhYhBONsC6LQeVmw7UpJBHWIi8UoTQ5wBQJrAxfzAhsDBQkPQLxNBQsJCAcC
BhUKCQgLAgQWAgMBAh4BAheAAAoJEHWIi8UoTQ5wAcsA/iOG2jw0b69j+o6uOJ8d
gpKglzyHt3POjaymgoN8+VgdAP9eX/JfKAveB9AT0t2UUISU7gA2aXniy2aYtUaq
WA6+Dg==
=ru+b
-----END PGP PUBLIC KEY BLOCK-----
"""
FINGERPRINT = "E36C0BA2D07959B0ED4A490475888BC5284D0E70"

UNITS = ("refstack-run.socket", "refstack-worker.service", "refstack-store-gc.timer")


@dataclass(frozen=True)
class LiveTree(System):
    """A tree that pretends to be the running machine."""

    @property
    def is_live(self) -> bool:
        return True

    def systemd_runs(self) -> bool:
        return True

    def is_root(self) -> bool:
        return True


@dataclass
class NodeMachine:
    """The machine and its programs. ``faults`` maps a pattern of command lines to their outcome."""

    root: Path
    gearmand: str
    server: str
    faults: dict[str, Completed] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=lambda: {"base-files": "12", "libc6": "2.36-9"})
    units: dict[str, list[bool]] = field(default_factory=lambda: {unit: [False, False] for unit in UNITS})
    warm: bool = False
    warming: bool = False
    """The unit that fills the store is running; starting it waits for its end."""
    index: dict[str, list[str]] = field(default_factory=dict)
    """Versions of each package in the machine's copy of the repository's index."""
    newer: dict[str, list[str]] = field(default_factory=dict)
    """Versions that the repository has beside those of ``OFFERED``."""
    calls: list[str] = field(default_factory=list)
    worker: Any = None
    paused: bool = False
    """An operator paused the worker."""
    spool: list[dict[str, str]] = field(default_factory=list)

    def run(self, argv: Sequence[str], extra: Mapping[str, str], timeout: float | None) -> Completed:
        line = " ".join(argv)
        self.calls.append(line)
        for pattern, done in self.faults.items():
            if re.search(pattern, line):
                return done
        act = getattr(self, "do_" + re.sub(r"\W", "_", Path(argv[0]).name))
        return Completed(tuple(argv), 0, act(list(argv[1:])) or "", "")

    @staticmethod
    def failed(error: str = "", status: int = 1) -> Completed:
        """Return the outcome of a program that fails."""
        return Completed(("program",), status, "", error)

    @staticmethod
    def succeeded(out: str = "") -> Completed:
        """Return the outcome of a program that succeeds."""
        return Completed(("program",), 0, out, "")

    def do_dpkg_query(self, words: list[str]) -> str:
        return "".join(f"ii \t{name}\tall\t{version}\n" for name, version in self.packages.items())

    def do_apt_get(self, words: list[str]) -> str:
        verb = next(word for word in words if word in ("update", "install", "purge"))
        names = words[words.index(verb) + 1 :]
        if verb == "update":
            if not any(word.startswith("-oDir::State::lists=") for word in words):
                self.write(LISTS, "signed")
                self.index = self.published()
        elif verb == "install":
            for name in names:
                self.install(name)
        elif "-s" in words:
            return "".join(f"Purg {name} [1]\n" for name in names)
        else:
            for name in names:
                self.purge(name)
        return ""

    def install(self, word: str) -> None:
        name, _, requested = word.partition("=")
        version, needed = OFFERED[name]
        version = requested or version
        for other in needed:
            self.install(other)
        self.packages[name] = version
        if name == "refstack-worker":
            self.write("usr/bin/refstack-worker", "program")
            passwd = self.root / "etc/passwd"
            if "refstack-worker" not in passwd.read_text():
                passwd.write_text(passwd.read_text() + "refstack-worker:x:990:990::/:/bin/false\n")

    def purge(self, name: str) -> None:
        self.packages.pop(name)
        if name == "refstack-worker":
            (self.root / "usr/bin/refstack-worker").unlink()

    def published(self) -> dict[str, list[str]]:
        """Return the versions of each package in the repository, the newest first."""
        return {name: [*self.newer.get(name, []), version] for name, (version, _) in OFFERED.items()}

    def do_apt_cache(self, words: list[str]) -> str:
        looks_up = any(word.startswith("-oDir::State::lists=") for word in words)
        known = self.published() if looks_up else self.index if (self.root / LISTS).exists() else {}
        verb, *names = [word for word in words if not word.startswith("-")]
        if verb == "madison":
            return "".join(f"{name} | {version} | x\n" for name in names for version in known.get(name, ()))
        return f"{names[0]}:\n  Candidate: {known.get(names[0], ['(none)'])[0]}\n"

    def do_dpkg(self, words: list[str]) -> str:
        return ""

    def do_userdel(self, words: list[str]) -> str:
        passwd = self.root / "etc/passwd"
        kept = [line for line in passwd.read_text().splitlines() if not line.startswith(words[0] + ":")]
        passwd.write_text("\n".join(kept) + "\n")
        return ""

    def do_refstack_worker(self, words: list[str]) -> str:
        if words[0] == "versions":
            present = [name[17:] for name in self.packages if name.startswith("refstack-tempest-")]
            rows = [{"Version": v, "Warm": self.warm, "Tests": 1575 * self.warm, "Problem": ""} for v in present]
            return json.dumps(rows)
        if words[:2] == ["spool", "list"]:
            return json.dumps(self.spool)
        if words == ["config", "check"]:
            return ""
        if words == ["status", "-f", "json"]:
            return json.dumps({"node": NODE, "state": "paused" if self.paused else "ready"}) if self.worker else ""
        assert words[0] == "selftest"
        return json.dumps({"state": "finished"})

    def do_runuser(self, words: list[str]) -> str:
        assert words[:3] == ["-u", "refstack-worker", "--"]
        return self.do_refstack_worker(words[4:])

    def do_journalctl(self, words: list[str]) -> str:
        return "the unit's last words\n"

    def do_systemctl(self, words: list[str]) -> str:
        verb = words[0]
        if verb == "show":
            asked = words[words.index("--value") + 1 :]
            if asked == ["refstack-env-warm.service"]:
                return "activating\n" if self.warming else "inactive\n"
            blocks = [
                f"{'active' if on else 'inactive'}\n{'enabled' if en else 'disabled'}"
                for en, on in (self.units[unit] for unit in asked)
            ]
            return "\n\n".join(blocks) + "\n"
        for unit in words[1:]:
            if unit == "refstack-env-warm.service":
                self.warm, self.warming = True, False
            elif unit in self.units:
                self.change(unit, verb)
        return ""

    def change(self, unit: str, verb: str) -> None:
        state = self.units[unit]
        state[0] = {"enable": True, "disable": False}.get(verb, state[0])
        state[1] = {"start": True, "stop": False}.get(verb, state[1])
        if unit == "refstack-worker.service":
            self.follow(state[1])

    def follow(self, runs: bool) -> None:
        """Act as the worker, which is registered while the unit runs."""
        if runs and self.worker is None:
            self.worker = gear.Worker(NODE)
            host, port = self.gearmand.split(":")
            self.worker.addServer(host, int(port))
            self.worker.waitForServer(timeout=5)
            self.worker.registerFunction(f"refstack:tempest:{TEMPEST}")
        elif not runs and self.worker is not None:
            self.worker.shutdown()
            self.worker = None

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def files(self) -> dict[str, bytes]:
        """Return the content of every file on the machine."""
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}

    def context(self, **answers: Any) -> Context:
        inputs = self.root.parent / "inputs"
        values = {
            "repository.url": "https://packages.example/refstack",
            "repository.key": str(inputs / "key.asc"),
            "tempest.versions": [TEMPEST],
            "gearman.servers": [self.gearmand],
            "server.urls": [self.server],
            "node.name": NODE,
            "keys.fleet": str(inputs / "fleet.key"),
            "keys.servers": str(inputs / "server.pub"),
            "preflight.disk_mb": 1,
            "packages.lock_timeout": 0,
            **answers,
        }
        system = LiveTree(self.root, {"PATH": "/usr/bin"}, self.run)
        return Context(system, answering.combine([values], {}))
