"""Writes the worker's settings and keys. The settings go into conf.d; the package's own file is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refstack_install import files, toml
from refstack_install.answers import key_files
from refstack_install.files import Record, TargetFile
from refstack_install.hosts import units
from refstack_install.step import Change, Step

FILE = "/etc/refstack-worker/conf.d/50-refstack-install.toml"
HEAD = "# Written by refstack-install from its answers. The next apply overwrites changes made here.\n\n"
FROM_ANSWERS = {
    "gearman.servers": ("gearman", "servers"),
    "server.urls": ("server", "urls"),
    "server.ca_file": ("server", "ca_file"),
    "node.name": ("node", "name"),
    "node.slots": ("node", "slots"),
    "node.tags": ("node", "tags"),
}


class WorkerFilesStep(Step):
    """Base of the steps that write files which a running worker has already read."""

    action = units.RELOAD

    def targets(self) -> list[TargetFile]:
        """Return the files in their desired state."""
        raise NotImplementedError

    def check(self) -> list[Change]:
        changes = []
        for file in self.targets():
            if not files.is_current(file):
                before, after = files.read(file.path), file.content
                shown = [files.describe(content, file.secret) for content in (before, after)]
                if before == after:
                    shown = [f"mode {files.mode_of(file.path):04o}", f"mode {file.mode:04o}"]
                changes.append(Change(str(file.path), shown[0], shown[1]))
        return changes

    def apply(self) -> None:
        # recorded first: if this is interrupted before the units step, the next apply reloads the worker
        units.note_pending(self.system, self.action)
        for file in self.targets():
            if not files.is_current(file):
                files.write(file)

    def verify(self) -> None:
        super().verify()
        # a worker that does not run yet reports wrong settings when it starts
        if any(unit.active for unit in units.states(self.system, [units.WORKER])):
            units.check_settings(self.system)

    def snapshot(self) -> Record:
        return {
            "files": [files.snapshot(file.path) for file in self.targets()],
            "pending": units.pending(self.system),
        }

    def undo(self, record: Record) -> None:
        for file in record["files"]:
            files.restore(file)
        if record.get("pending") == "":
            units.clear_pending(self.system)


class ConfigurationStep(WorkerFilesStep):
    name = "configuration"
    title = "worker configuration"

    def targets(self) -> list[TargetFile]:
        return [TargetFile(self.system.path(FILE), (HEAD + toml.dumps(self._sections())).encode())]

    def _sections(self) -> Mapping[str, Mapping[str, Any]]:
        sections: dict[str, dict[str, Any]] = {}
        for name, (section, key) in FROM_ANSWERS.items():
            value = self.answers.values[name]
            if value:
                sections.setdefault(section, {})[key] = value
        for section, settings in self.answers.configuration.items():
            sections.setdefault(section, {}).update(settings)
        return sections


class KeysStep(WorkerFilesStep):
    """The fleet's private key and the server's public keys. systemd passes them to the worker at its start."""

    name = "keys"
    title = "fleet key and server keys"
    action = units.RESTART

    def targets(self) -> list[TargetFile]:
        return [
            TargetFile(
                self.system.path(key.path),
                key_files.content(key, self.system, self.answers),
                key.mode,
                secret=key.mode == 0o600,
            )
            for key in key_files.KEY_FILES
            if self.answers.text(key.setting)
        ]
