"""``python3 -m democloud start|status|stop FOLDER``: a Keystone and a Swift that stay up until they are stopped."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from democloud.cloud import Cloud, Options  # noqa: E402 - the checkout comes first on the path
from refstack_worker.errors import RefstackError  # noqa: E402


def main() -> int:
    """Carry out one command; 0 done, else the error's own code."""
    parser = argparse.ArgumentParser(prog="democloud", description=__doc__)
    parser.add_argument("command", choices=("start", "status", "stop"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, help="folder for downloads that is kept between calls")
    parser.add_argument("--without", action="append", default=[], metavar="MIDDLEWARE", help="leave out of Swift")
    parser.add_argument("--user", help="account that the services run as")
    arguments = parser.parse_args()
    try:
        print(json.dumps(carry_out(arguments), indent=1))
    except RefstackError as error:
        print(f"democloud: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def carry_out(arguments: argparse.Namespace) -> dict[str, object]:
    """Start, look at or stop the cloud below a folder, and describe it."""
    if arguments.command == "start":
        options = Options(arguments.cache, tuple(arguments.without), arguments.user, False, tell)
        cloud = Cloud(arguments.folder, options)
        try:
            cloud.start()
        except BaseException:
            cloud.stop()
            raise
    else:
        cloud = Cloud.load(arguments.folder)
        if arguments.command == "stop":
            cloud.stop()
    return cloud.describe()


def tell(text: str) -> None:
    """Progress goes to stderr; stdout is the description."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
