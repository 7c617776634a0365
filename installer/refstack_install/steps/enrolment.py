"""Gives the node a key of its own with a token that works once."""

from __future__ import annotations

from refstack_install import files
from refstack_install.answers import key_files
from refstack_install.errors import StepError
from refstack_install.files import Record
from refstack_install.hosts import units
from refstack_install.step import Change, Step

SETTING = "keys.enrolment"
TOKEN_VARIABLE = "REFSTACK_ENROLMENT_TOKEN"  # noqa: S105 - name of a variable
SECONDS = 120.0


class EnrolmentStep(Step):
    """The node's own key. A node that has key files is left alone: the token works once."""

    name = "enrolment"
    title = "the node's own key"

    def check(self) -> list[Change]:
        fleet, _ = key_files.KEY_FILES
        if not self.answers.text(SETTING) or self.system.path(fleet.path).exists():
            return []
        return [Change(fleet.path, "", "a key of this node, enrolled with the token")]

    def apply(self) -> None:
        token = key_files.token(self.system, self.answers)
        units.note_pending(self.system, units.RESTART)
        # by the environment: a command line can be read by every user of the machine
        done = self.system.run([units.PROGRAM, "enrol"], SECONDS, **{TOKEN_VARIABLE: token})
        if done.status != 0:
            raise StepError(
                "the node cannot enrol",
                done.output_tail,
                "make another token: 'refstack-queue worker enrol NODE' on the server; it works once, within the hour",
            )

    def snapshot(self) -> Record:
        paths = [self.system.path(key.path) for key in key_files.KEY_FILES]
        return {"files": [files.snapshot(path) for path in paths], "pending": units.pending(self.system)}

    def undo(self, record: Record) -> None:
        for file in record["files"]:
            files.restore(file)
        if record.get("pending") == "":
            units.clear_pending(self.system)
