#!/usr/bin/python
# Copyright: RefStack developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""The part of refstack_install that runs on the node: calls the installer and reports what it changed."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: refstack_install
short_description: Make a machine a RefStack worker node, or undo it
version_added: 1.0.0
description:
  - Copies the installer to the node, runs it there and removes it.
  - C(changed) is what the installer reports; a second run changes nothing.
options:
  command:
    description: What to do. In check mode V(apply) and V(remove) only report what they would do.
    choices: [plan, apply, verify, remove]
    required: true
    type: str
  installer:
    description: The built installer on the controller.
    required: true
    type: path
  answers:
    description: The answers, section to key to value (docs/installer.md).
    type: dict
    default: {}
  fleet_key:
    description: Content of the fleet's private key file.
    type: str
    default: ""
  server_keys:
    description: Content of the server's public key file.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: V(plan) and V(verify) change nothing in any case.
  diff_mode:
    support: full
    description: Shows a diff of each change; for secrets, only a digest.
author: RefStack developers (@openstack)
"""

EXAMPLES = r"""
- name: Make this machine a node
  refstack.worker.refstack_install:
    command: apply
    installer: refstack-install
    answers:
      repository:
        url: https://packages.example.org/refstack
        fingerprint: 0123456789ABCDEF0123456789ABCDEF01234567
      tempest: {versions: [47.0.0]}
      gearman: {servers: [gearman.example.org]}
      server: {urls: ["https://refstack.example.org"]}
    fleet_key: "{{ vault_refstack_fleet_key }}"
    server_keys: "{{ vault_refstack_server_keys }}"
"""

RETURN = r"""
steps:
  description: The installer's steps with their state, changes and seconds.
  type: list
  elements: dict
  returned: always
pending_steps:
  description: Names of the steps that have something to change.
  type: list
  elements: str
  returned: always
notes:
  description: Other messages from the installer.
  type: list
  elements: str
  returned: always
installed:
  description: Whether the worker is installed.
  type: bool
  returned: always
seconds:
  description: How long it took.
  type: float
  returned: always
status:
  description: Exit status of the installer (docs/installer.md).
  type: int
  returned: always
"""

KEYS = {
    "fleet_key": ("fleet", "REFSTACK_ANSIBLE_FLEET_KEY"),
    "server_keys": ("servers", "REFSTACK_ANSIBLE_SERVER_KEYS"),
}
PENDING = 2
SUCCESS = (0, PENDING)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "command": {"required": True, "choices": ["plan", "apply", "verify", "remove"]},
            "installer": {"type": "path", "required": True},
            "answers": {"type": "dict", "default": {}},
            "fleet_key": {"type": "str", "default": "", "no_log": True},
            "server_keys": {"type": "str", "default": "", "no_log": False},
        },
        supports_check_mode=True,
    )
    command, arguments, environment = installer_call(module)
    if command is None:
        module.exit_json(changed=os.path.exists("/var/lib/refstack-install/journal.json"))
    argv = [sys.executable, module.params["installer"], command, "--json", *arguments]
    status, out, err = module.run_command(argv, environ_update=environment)
    try:
        document = json.loads(out)
    except ValueError:
        module.fail_json(msg="refstack-install printed no JSON: " + (err or out)[-2000:], status=status)
    result = as_result(document)
    result["installed"] = os.path.exists("/usr/bin/refstack-worker")
    if status not in SUCCESS:
        module.fail_json(msg=document["error"]["message"], status=status, **result)
    module.exit_json(status=status, **result)


def installer_call(module: Any) -> tuple[str | None, list[str], dict[str, str]]:
    """Return the installer's command, its arguments, and the environment variables that hold the keys."""
    command, answers = module.params["command"], dict(module.params["answers"])
    environment: dict[str, str] = {}
    if command == "remove":
        return (None if module.check_mode else command), [], {}
    for name, (key, variable) in KEYS.items():
        if module.params[name]:
            answers["keys"] = {**answers.get("keys", {}), key: "env:" + variable}
            environment[variable] = module.params[name]
    configuration = answers.pop("configuration", {})
    arguments = [
        "--set=" + section + "." + key + "=" + as_text(value)
        for section, table in answers.items()
        for key, value in table.items()
    ]
    for section, table in configuration.items():
        arguments += ["--configure=" + section + "." + key + "=" + json.dumps(value) for key, value in table.items()]
    return ("plan" if module.check_mode and command == "apply" else command), arguments, environment


def as_text(value: Any) -> str:
    """Return a value in the form that --set takes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def as_result(document: dict[str, Any]) -> dict[str, Any]:
    """Return the installer's document as Ansible's result."""
    diff = [
        {
            "before_header": change["what"],
            "after_header": change["what"],
            "before": change["before"].rstrip("\n") + "\n" if change["before"] else "",
            "after": change["after"].rstrip("\n") + "\n" if change["after"] else "",
        }
        for step in document["steps"]
        if step["state"] in ("pending", "changed")
        for change in step["changes"]
    ]
    return {
        "changed": document["changed"] or document["pending"],
        "diff": diff,
        "steps": document["steps"],
        "notes": document["notes"],
        "pending_steps": [step["name"] for step in document["steps"] if step["state"] == "pending"],
        "seconds": document["seconds"],
    }


if __name__ == "__main__":
    main()
