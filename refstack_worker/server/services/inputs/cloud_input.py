"""What a cloud is added or changed with, as JSON: the schema, and reading it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refstack_worker.contract import tempest_options
from refstack_worker.contract.accounts import is_account_section, without_accounts
from refstack_worker.contract.keystone_address import v3_address
from refstack_worker.contract.secrets import is_secret_option
from refstack_worker.errors import UsageError
from refstack_worker.http import guard
from refstack_worker.server.domain.clouds import NewCloud
from refstack_worker.server.services.callers import Caller
from refstack_worker.server.services.inputs.accounts_input import ACCOUNTS, accounts_of
from refstack_worker.server.services.inputs.checks import invalid
from refstack_worker.server.services.inputs.schema import CONF, FLAG, ID, fields, maybe, name_text, string

NEW_CLOUD = fields(
    "label",
    "endpoint_v3",
    label=name_text(60, description="Name of the cloud"),
    # room for the "/v3" that may be added
    endpoint_v3=string(500, minLength=1, description="Keystone URL", examples=["https://cloud.example:5000/v3"]),
    region=string(80),
    release=string(40, description="OpenStack release", examples=["2025.1"]),
    test_user=string(80),
    alt_user=string(80, description="Second user"),
    admin_user=string(80, description="Administrator"),
    version=string(80),
    forget_passwords={**FLAG, "description": "Erase the passwords and accounts that are stored"},
    user_id=maybe({**ID, "description": "Owner (operators)"}),
    conf_json=maybe({**CONF, "description": "Tempest options to store; passwords among them are encrypted"}),
    accounts=ACCOUNTS,
)
CHECK = fields(conf_json=maybe(CONF), accounts=ACCOUNTS)
_TEXTS = ("region", "release", "test_user", "alt_user", "admin_user", "version")


def new_cloud(body: Mapping[str, Any], caller: Caller) -> NewCloud:
    """Return the cloud in a body of the schema :data:`NEW_CLOUD`. :raises InvalidInput: it makes no sense."""
    endpoint = v3_address(body["endpoint_v3"])
    try:
        guard.split(endpoint)
    except UsageError as error:
        raise invalid("endpoint_v3", str(error)) from None
    user_id = caller.token.user_id
    if caller.is_operator and body.get("user_id") is not None:
        user_id = body["user_id"]
    if user_id is None and not caller.is_operator:
        raise UsageError("This token belongs to no user, so the cloud would have no owner.")
    values = {name: body.get(name, "") for name in _TEXTS}
    conf = conf_of(body)
    options, passwords = _split(without_accounts(conf))
    accounts = {name: values for name, values in conf.items() if is_account_section(name)}
    says_so = accounts or body.get("accounts") is not None or body.get("forget_passwords")
    return NewCloud(
        label=body["label"],
        endpoint_v3=endpoint,
        user_id=user_id,
        conf_json={} if body.get("forget_passwords") else passwords or None,
        accounts=accounts if says_so else None,
        options=options if body.get("conf_json") is not None else None,
        **values,
    )


def _split(conf: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options that may be shown, and those that are secret."""
    shown: dict[str, Any] = {}
    secret: dict[str, Any] = {}
    for section, values in conf.items():
        for option, value in values.items():
            part = secret if is_secret_option(option) else shown
            part.setdefault(section, {})[option] = value
    return shown, secret


def conf_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options in ``conf_json``. :raises PayloadError: options that no run may have."""
    given: dict[str, Any] = body.get("conf_json") or {}
    tempest_options.check(given)
    conf: dict[str, Any] = dict(tempest_options.with_known_sections(given))
    accounts = accounts_of(body)
    return conf if accounts is None else {**without_accounts(conf), **accounts}
