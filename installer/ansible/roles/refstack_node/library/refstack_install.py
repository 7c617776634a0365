#!/usr/bin/python
"""Node's side of refstack_install: call the installer, and tell Ansible truthfully what changed."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: refstack_install
short_description: Make a machine a RefStack worker node, or undo it
options:
  command:
    description: What to do; in check mode C(apply) and C(remove) only say what they would do.
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
author: RefStack developers
"""

KEYS = {
    "fleet_key": ("fleet", "REFSTACK_ANSIBLE_FLEET_KEY"),
    "server_keys": ("servers", "REFSTACK_ANSIBLE_SERVER_KEYS"),
}
PENDING = 2
FINE = (0, PENDING)


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
    command, words, environment = what_to_call(module)
    if command is None:
        module.exit_json(changed=os.path.exists("/var/lib/refstack-install/journal.json"))
    argv = [sys.executable, module.params["installer"], command, "--json", *words]
    status, out, err = module.run_command(argv, environ_update=environment)
    try:
        document = json.loads(out)
    except ValueError:
        module.fail_json(msg="refstack-install said no JSON: " + (err or out)[-2000:], status=status)
    result = told(document)
    result["installed"] = os.path.exists("/usr/bin/refstack-worker")
    if status not in FINE:
        module.fail_json(msg=document["error"]["message"], status=status, **result)
    module.exit_json(status=status, **result)


def what_to_call(module: Any) -> tuple[str | None, list[str], dict[str, str]]:
    """Return the installer's command, its further words, and the environment that holds the keys."""
    command, answers = module.params["command"], dict(module.params["answers"])
    environment: dict[str, str] = {}
    if command == "remove":
        return (None if module.check_mode else command), [], {}
    for name, (key, variable) in KEYS.items():
        if module.params[name]:
            answers["keys"] = {**answers.get("keys", {}), key: "env:" + variable}
            environment[variable] = module.params[name]
    configuration = answers.pop("configuration", {})
    words = [
        "--set=" + section + "." + key + "=" + text(value)
        for section, table in answers.items()
        for key, value in table.items()
    ]
    for section, table in configuration.items():
        words += ["--configure=" + section + "." + key + "=" + json.dumps(value) for key, value in table.items()]
    return ("plan" if module.check_mode and command == "apply" else command), words, environment


def text(value: Any) -> str:
    """Return a value as the installer takes it in a word."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def told(document: dict[str, Any]) -> dict[str, Any]:
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
