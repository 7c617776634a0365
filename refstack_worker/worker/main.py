"""The worker's own process: ``refstack-worker run`` replaces itself with it, which keeps the memory small."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from refstack_worker.config import worker as config
from refstack_worker.errors import RefstackError
from refstack_worker.worker import logs
from refstack_worker.worker.daemon import Daemon

LOG = logging.getLogger(__name__)


def become(settings_file: Path, software: str) -> None:
    """Replace this process with the daemon; its id stays the same, as systemd expects. Does not return."""
    args = ["-m", "refstack_worker.worker.main", "--config", str(settings_file.absolute()), "--software", software]
    isolated = ["-I"] if sys.flags.isolated else []
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir("/")  # -m also searches the current folder
    os.execv(sys.executable, [sys.executable, *isolated, *args])  # noqa: S606 - itself, no shell


def main(argv: Sequence[str] | None = None) -> int:
    """Run the worker and return the process's exit status."""
    parser = argparse.ArgumentParser(prog="refstack-worker run")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--software", default="0.0.0", help="version of this software")
    options = parser.parse_args(argv)
    try:
        settings = config.load(options.config)
        logs.set_up(settings.log)
        return Daemon(settings, options.software).run()
    except RefstackError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
