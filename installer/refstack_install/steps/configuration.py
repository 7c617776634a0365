"""What the worker is told: a file of its own in conf.d, never the package's configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refstack_install import files, keyfiles, toml, unitcontrol
from refstack_install.files import Wanted
from refstack_install.step import Change, Record, Step

FILE = "/etc/refstack-worker/conf.d/50-refstack-install.toml"
HEAD = "# Written by refstack-install from its answers; a change here is overwritten by the next apply.\n\n"
FROM_ANSWERS = {
    "gearman.servers": ("gearman", "servers"),
    "server.urls": ("server", "urls"),
    "server.ca_file": ("server", "ca_file"),
    "node.name": ("node", "name"),
    "node.slots": ("node", "slots"),
    "node.tags": ("node", "tags"),
}


class FilesStep(Step):
    """A step that is nothing but files which the running worker has read."""

    needs = unitcontrol.RELOAD

    def wanted(self) -> list[Wanted]:
        """Return the files as they should be."""
        raise NotImplementedError

    def check(self) -> list[Change]:
        found = []
        for file in self.wanted():
            if not files.is_as(file):
                before, after = files.read(file.path), file.content
                shown = [files.describe(content, file.secret) for content in (before, after)]
                if before == after:
                    shown = [f"mode {files.mode_of(file.path):04o}", f"mode {file.mode:04o}"]
                found.append(Change(str(file.path), shown[0], shown[1]))
        return found

    def apply(self) -> None:
        # noted first: if this is cut off between the file and the unit, the unit is told by the next apply
        unitcontrol.note_pending(self.system, self.needs)
        for file in self.wanted():
            if not files.is_as(file):
                files.write(file)

    def snapshot(self) -> Record:
        return {"files": [files.snapshot(file.path) for file in self.wanted()]}

    def undo(self, record: Record) -> None:
        for file in record["files"]:
            files.restore(file)


class Configuration(FilesStep):
    """The worker's settings."""

    name = "configuration"
    title = "worker configuration"

    def wanted(self) -> list[Wanted]:
        return [Wanted(self.system.path(FILE), (HEAD + toml.dumps(self._sections())).encode())]

    def _sections(self) -> Mapping[str, Mapping[str, Any]]:
        sections: dict[str, dict[str, Any]] = {}
        for name, (section, key) in FROM_ANSWERS.items():
            value = self.answers.values[name]
            if value:
                sections.setdefault(section, {})[key] = value
        for section, settings in self.answers.configuration.items():
            sections.setdefault(section, {}).update(settings)
        return sections


class SealingKey(FilesStep):
    """The fleet's private key and the server's public keys. systemd hands them over when the worker starts."""

    name = "keys"
    title = "sealing key"
    needs = unitcontrol.RESTART

    def wanted(self) -> list[Wanted]:
        return [
            Wanted(
                self.system.path(key.path),
                keyfiles.content(key, self.system, self.answers),
                key.mode,
                secret=key.mode == 0o600,
            )
            for key in keyfiles.KEY_FILES
        ]
