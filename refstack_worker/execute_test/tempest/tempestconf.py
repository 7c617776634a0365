"""Discovery by python-tempestconf beside this program's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refstack_worker.contract.accounts import without_accounts
from refstack_worker.contract.secrets import is_secret_option
from refstack_worker.execute_test.failures import BadInput, TempestFailure
from refstack_worker.execute_test.log import SECRETS
from refstack_worker.execute_test.programs import started
from refstack_worker.execute_test.tempest.conf import Conf, open_private, read_conf, without_users, written_value
from refstack_worker.execute_test.tempest.installation import Tempest
from refstack_worker.execute_test.tempest.workspace import Workspace

MAX_ERROR = 400
"""Characters of its error in a message."""

_LOG_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d .*?\b(?:ERROR|CRITICAL) \S+(?: \[[^\]]*\])? ?")
"""What oslo.log puts before each line of a traceback, also before its empty last line."""
_ERROR = re.compile(r"(?!Details: )(?:\w+\.)*[A-Z]\w*(?:: |$)")
_DETAILS = "Details: "


def run_tempestconf(
    tempest: Tempest, workspace: Workspace, cloud: Mapping[str, Any], given: Conf, is_admin: bool
) -> Conf:
    """Return what python-tempestconf finds about the cloud; it gets credentials and options in files.

    :param cloud: an entry of ``clouds.yaml``.
    :param given: options that are set already; it keeps them and builds on them.
    :raises BadInput: it is not installed beside Tempest.
    :raises TempestFailure: it fails.
    """
    tool = tempest.program.with_name("discover-tempest-config")
    if not tool.is_file():
        raise BadInput(f"--discover tempestconf: python-tempestconf is not installed in {tempest.program.parents[1]}")
    _write_clouds(workspace.scratch / "home" / ".config" / "openstack", cloud)
    options = workspace.scratch / "given.conf"
    _write_given(options, given)
    out = workspace.scratch / "discovered.conf"
    words: list[str | Path] = [tool, "--os-cloud", "refstack", "--deployer-input", options, "--out", out]
    if not is_admin:
        words.append("--non-admin")
    with started(words, workspace.scratch / "run", workspace.environment(tempest)) as process:
        output = b"".join(process.communicate())
    if process.returncode or not out.is_file():
        text = SECRETS.mask(output.decode("utf-8", "replace"))
        raise TempestFailure(f"python-tempestconf ended with status {process.returncode}: {last_error(text)}")
    discovered = read_conf(out)
    # not its logging options: debug would put the bodies of all requests into the log
    discovered.pop("DEFAULT", None)
    return discovered


def last_error(output: str) -> str:
    """Return the error at the end of python-tempestconf's output, on one line."""
    lines = [_LOG_PREFIX.sub("", line).strip() for line in output.splitlines()]
    lines = [line for line in lines if line]
    position = next((at for at in reversed(range(len(lines))) if _ERROR.match(lines[at])), len(lines) - 1)
    if position < 0:
        return "no output"
    details = [line for line in lines[position + 1 :] if line.startswith(_DETAILS)][:1]
    return "; ".join([lines[position], *details])[:MAX_ERROR]


def _write_clouds(folder: Path, cloud: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open_private(folder / "clouds.yaml") as file:
        json.dump({"clouds": {"refstack": cloud}}, file)  # JSON is YAML


def _write_given(path: Path, given: Conf) -> None:
    """Write the options as Python's configparser reads them, without passwords, which python-tempestconf need not know.

    A value with ``%`` begins a substitution there and in the file that it writes; such an option is left out, and is
    laid over its findings later.
    """
    with open_private(path) as file:
        for section, options in without_accounts(without_users(given)).items():
            shown = {name: written_value(value) for name, value in options.items() if not is_secret_option(name)}
            lines = [f"{name} = {value}" for name, value in shown.items() if "%" not in value]
            if lines and section != "DEFAULT":
                file.write("\n".join([f"[{section}]", *lines, "", ""]))
