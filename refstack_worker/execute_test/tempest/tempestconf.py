"""Discovery by python-tempestconf instead of this program's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refstack_worker.execute_test.failures import BadInput, TempestFailure
from refstack_worker.execute_test.log import SECRETS
from refstack_worker.execute_test.programs import started
from refstack_worker.execute_test.tempest.conf import Conf, open_private, read_conf
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.workspace import Workspace


def run_tempestconf(tempest: Tempest, workspace: Workspace, cloud: Mapping[str, Any], is_admin: bool) -> Conf:
    """Return what python-tempestconf finds about the cloud; it gets the credentials in a file, not as arguments.

    :param cloud: an entry of ``clouds.yaml``.
    :raises BadInput: it is not installed beside Tempest.
    :raises TempestFailure: it fails.
    """
    tool = tempest.program.with_name("discover-tempest-config")
    if not tool.is_file():
        raise BadInput(f"--discover tempestconf: python-tempestconf is not installed in {tempest.program.parents[1]}")
    _write_clouds(workspace.scratch / "home" / ".config" / "openstack", cloud)
    out = workspace.scratch / "discovered.conf"
    words: list[str | Path] = [tool, "--os-cloud", "refstack", "--out", out]
    if not is_admin:
        words.append("--non-admin")
    with started(words, workspace.scratch / "run", workspace.environment(tempest)) as process:
        output = b"".join(process.communicate())
    if process.returncode or not out.is_file():
        last = SECRETS.mask(output.decode("utf-8", "replace")).strip().splitlines()[-1:] or ["no output"]
        raise TempestFailure(f"python-tempestconf ended with status {process.returncode}: {last[0][:400]}")
    discovered = read_conf(out)
    # not its logging options: debug would put the bodies of all requests into the log
    discovered.pop("DEFAULT", None)
    return discovered


def _write_clouds(folder: Path, cloud: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open_private(folder / "clouds.yaml") as file:
        json.dump({"clouds": {"refstack": cloud}}, file)  # JSON is YAML
