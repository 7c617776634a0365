"""A command whose module needs what only the server's part has."""

from __future__ import annotations

import alembic  # noqa: F401 - the test takes it away
from cliff.command import Command


class Serve(Command):
    """Never loaded where alembic is not there."""

    def take_action(self, parsed_args):
        raise AssertionError
