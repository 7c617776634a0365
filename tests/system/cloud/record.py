"""Records what a real cloud answers to discovery, for :mod:`tests.support.recorded_cloud`.

    python -m tests.system.cloud.record tests/data/clouds

Needs root. Starts one whole cloud with an ordinary user, looks into it as administrator and as that user, and writes
``admin.json`` and ``user.json``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from refstack_worker.execute_test.cloud.catalog import only_region
from refstack_worker.execute_test.cloud.keystone import Keystone, administrator, ordinary_users
from refstack_worker.execute_test.cloud.options import OptionFinder
from refstack_worker.execute_test.http import HttpResponse
from tests.support.recorded_cloud import recording_of
from tests.system.execute_test.conftest import Options, cache_folder

from democloud.openstack.shape import Shape  # isort: skip - found by what is imported above
from democloud.openstack.whole import WholeCloud  # isort: skip


class RecordingKeystone(Keystone):
    """Keeps every answer in JSON by its path."""

    def __init__(self, conf: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(conf)
        self.answers: dict[str, Any] = {}

    def request_url(self, method: str, url: str, token: str, body: Any = None, media_type: str = "") -> HttpResponse:
        """Send the request, and keep the answer to one that only asks."""
        response = super().request_url(method, url, token, body, media_type)
        if method == "GET" and response.body:
            self.answers[url] = response.json()
        return response


def recorded(conf: Mapping[str, Mapping[str, Any]], services: Mapping[str, str]) -> str:
    """Look into a cloud as a run does, and return the recording."""
    keystone = RecordingKeystone(conf)
    admin = administrator(conf)
    user = admin or ordinary_users(conf)[0]
    token = keystone.log_in(user)
    region = only_region(token, keystone.url)
    OptionFinder(keystone, token, region, is_admin=bool(admin)).find(conf, "refstack-record")
    return recording_of(token.body, keystone.answers, dict(services))


def main() -> int:
    """Start the cloud and write the recordings."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.cloud.record", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory(prefix="record-", dir="/var/tmp") as scratch:
        place = Path(scratch) / "cloud"
        with WholeCloud(place, Options(cache_folder(), say=print), Shape(users=1)) as cloud:
            admin = cloud.session()
            names = ("identity", "compute", "image", "network", "volume", "object-store")
            services = {_address(admin.endpoint(name)): name for name in names}
            user = cloud.contents.users[0]
            address = {"uri_v3": cloud.auth_url}
            own = {**address, "username": user.name, "password": user.password, "project_name": user.name}
            (folder / "admin.json").write_text(recorded(cloud.vendor_conf(), services), "utf-8")
            (folder / "user.json").write_text(recorded({"identity": own}, services), "utf-8")
    return 0


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


if __name__ == "__main__":
    sys.exit(main())
