"""The options and tests that the server gives ``execute_test``: common values < the operator's < the cloud's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refstack_worker.config.server import TempestSettings
from refstack_worker.contract.accounts import accounts_in, is_account_section, without_accounts
from refstack_worker.contract.option_addresses import elsewhere, keystone_elsewhere
from refstack_worker.contract.secrets import is_secret_option
from refstack_worker.contract.tempest_conf_file import section_name
from refstack_worker.server.domain.clouds import Cloud
from refstack_worker.server.domain.runs import RunSpec
from refstack_worker.server.services.inputs.checks import invalid

COMMON: Mapping[str, Mapping[str, Any]] = {"identity": {"auth_version": "v3"}}
"""For every cloud."""


def mini_conf(tempest: TempestSettings, cloud: Cloud) -> dict[str, dict[str, Any]]:
    """Return Tempest options, section → option → value. No password is among them."""
    return merged(COMMON, tempest.config, {"identity": _identity(cloud)})


def testcases(tempest: TempestSettings, spec: RunSpec | None) -> list[str]:
    """Return which tests to run, as ``get-testcases`` answers."""
    chosen = spec.testcases.entries() if spec is not None and spec.testcases is not None else []
    return chosen or list(tempest.testcases)


def merged(*layers: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return options of several layers; a later one wins, option by option, however a section is spelt."""
    found: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for section, values in layer.items():
            found.setdefault(section_name(section), {}).update(values)
    return found


def with_saved(
    saved: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]], endpoint: str
) -> dict[str, dict[str, Any]]:
    """Return a run's options over those that a cloud stores; a run's accounts replace all that are stored.

    What is stored goes to the cloud's own server alone, and to those that it stores as addresses of plugins. With
    another one, a run has to bring its own passwords.

    :param endpoint: Keystone URL of the cloud.
    :raises InvalidInput: ``conf_json``: it names another server, and only the stored passwords.
    """
    named = [*keystone_elsewhere(merged(saved, given), endpoint), *elsewhere(given, saved, endpoint)]
    if named:
        if _has_passwords(saved) and not _brings_its_own(saved, given):
            raise invalid(
                "conf_json",
                f"{named[0]} points to a different server than the cloud's Keystone URL. Stored passwords are sent "
                "only to the cloud's own server: enter passwords for this run, or correct one of the URLs.",
            )
        saved = {
            section: {name: value for name, value in values.items() if not is_secret_option(name)}
            for section, values in without_accounts(saved).items()
        }
    return merged(without_accounts(saved) if accounts_in(given) else saved, given)


def _has_passwords(conf: Mapping[str, Mapping[str, Any]]) -> bool:
    return bool(accounts_in(conf)) or any(is_secret_option(name) for values in conf.values() for name in values)


def _brings_its_own(saved: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether a run can do without the stored passwords: one of a plugin does not let Tempest sign in."""
    return _has_passwords(_login(given)) if _has_passwords(_login(saved)) else _has_passwords(given)


def _login(conf: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {
        name: values
        for name, values in conf.items()
        if name.lower() in ("identity", "auth") or is_account_section(name)
    }


def _identity(cloud: Cloud) -> dict[str, str]:
    values = {
        "uri": cloud.endpoint,
        "uri_v3": cloud.endpoint_v3,
        "username": cloud.test_user,
        "alt_username": cloud.alt_user,
        "admin_username": cloud.admin_user,
    }
    return {option: value for option, value in values.items() if value}
