"""``python3 installer/democloud up|down|status|openrc|conf|count|purge FOLDER``: a real OpenStack on this machine."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from democloud import arguments, census, purge  # noqa: E402 - the checkout comes first on the path
from democloud.cloud import Cloud, Options  # noqa: E402
from democloud.openstack import access, ini  # noqa: E402
from democloud.openstack.whole import WholeCloud  # noqa: E402
from democloud.ports import CloudError  # noqa: E402
from refstack_worker.errors import RefstackError  # noqa: E402


def main() -> int:
    """Carry out one command; 0 done, else the error's own code."""
    # a cloud that was half up is taken down also when the command gets a TERM
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = arguments.parser(COMMANDS, __doc__ or "").parse_args()
    try:
        COMMANDS[asked.command](asked)
    except RefstackError as error:
        print(f"democloud: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("democloud: stopped", file=sys.stderr)
        return 130
    return 0


def up(asked: argparse.Namespace) -> None:
    """start a cloud in a new folder, and leave it running"""
    options = Options(asked.cache, tuple(asked.without_middleware), asked.run_as, False, tell)
    cloud: Cloud | WholeCloud
    if arguments.is_small(asked):
        cloud = Cloud(asked.folder, options)
    else:
        cloud = WholeCloud(asked.folder, options, arguments.shape(asked))
    try:
        cloud.start()
    except BaseException:
        cloud.stop()
        raise
    show(cloud.describe())


def status(asked: argparse.Namespace) -> None:
    """describe a cloud and its running processes"""
    show(load(asked.folder).describe())


def down(asked: argparse.Namespace) -> None:
    """end a cloud; its files stay"""
    cloud = load(asked.folder)
    cloud.stop()
    show(cloud.describe())


def openrc(asked: argparse.Namespace) -> None:
    """print the shell lines for an account (--user NAME; default: the administrator)"""
    cloud = load_whole(asked.folder)
    for account in access.accounts(cloud.site, cloud.contents):
        if account.user == (asked.user or cloud.admin_user):
            print(access.openrc(account), end="")
            return
    raise CloudError(f"no account {asked.user}; {cloud.folder}/clouds.yaml lists all")


def conf(asked: argparse.Namespace) -> None:
    """print a complete tempest.conf for this cloud"""
    print(ini.text(load(asked.folder).tempest_conf()), end="")


def count(asked: argparse.Namespace) -> None:
    """print what there is in all services, with names and ids"""
    show(census.census(load(asked.folder)))


def clear(asked: argparse.Namespace) -> None:
    """remove all that tests left in a whole cloud"""
    for line in purge.purge(load_whole(asked.folder)):
        print(line)


COMMANDS = {
    "up": up,
    "down": down,
    "status": status,
    "openrc": openrc,
    "conf": conf,
    "count": count,
    "purge": clear,
}


def load(folder: Path) -> Cloud | WholeCloud:
    """Take over the running cloud below a folder, whichever kind it is."""
    return WholeCloud.load(folder) if WholeCloud.is_in(folder) else Cloud.load(folder)


def load_whole(folder: Path) -> WholeCloud:
    """Likewise, for what the small cloud has not."""
    cloud = load(folder)
    if isinstance(cloud, WholeCloud):
        return cloud
    raise CloudError(f"{folder}: this is the small cloud, which has one account; see cloud.json")


def tell(text: str) -> None:
    """Progress goes to stderr; stdout is the description."""
    print(text, file=sys.stderr, flush=True)


def show(what: object) -> None:
    print(json.dumps(what, indent=1))


if __name__ == "__main__":
    sys.exit(main())
