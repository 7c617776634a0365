"""A command that lists entries that should not exist."""

from __future__ import annotations

import argparse
from typing import Any

from cliff.lister import Lister


class EvilLister(Lister):
    """List a test with a harmful name."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        return ("Test", "Status"), [("\x1b]0;owned\x07test\x1b[2A\x9b1A", "failed")]
