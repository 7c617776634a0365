"""The part of refstack_install that runs on the controller: copies the installer to the node for the time of the call.

So check mode works on a bare machine, and no outdated installer stays behind on a node.
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Copies the installer, runs the module, and cleans up."""

    TRANSFERS_FILES = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> Any:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        installer = arguments.get("installer", "")
        try:
            local = self._find_needle("files", installer)
        except Exception as error:
            raise AnsibleActionFail(f"{installer} not found; make it with tools/onefile refstack-install") from error
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "refstack-install")
        try:
            self._transfer_file(local, remote)
            self._fixup_perms2((self._connection._shell.tmpdir, remote))
            arguments["installer"] = remote
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result
