"""The ``OS_*`` variables of an ``openrc`` file, as Tempest options of an ordinary user.

Standard library alone: this module is part of the single file ``execute_test``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from refstack_worker.contract.service_settings import interface_kind, why_unused, with_services

USER_LOGIN = {
    "username": ("OS_USERNAME",),
    "user_id": ("OS_USER_ID",),
    "password": ("OS_PASSWORD",),
    "project_id": ("OS_PROJECT_ID", "OS_TENANT_ID"),
    "project_name": ("OS_PROJECT_NAME", "OS_TENANT_NAME"),
    "user_domain_name": ("OS_USER_DOMAIN_NAME",),
    "user_domain_id": ("OS_USER_DOMAIN_ID",),
    "project_domain_name": ("OS_PROJECT_DOMAIN_NAME",),
    "project_domain_id": ("OS_PROJECT_DOMAIN_ID",),
    "domain_name": ("OS_DOMAIN_NAME", "OS_DEFAULT_DOMAIN_NAME"),
    "domain_id": ("OS_DOMAIN_ID", "OS_DEFAULT_DOMAIN_ID", "OS_DEFAULT_DOMAIN"),
}
"""Option of ``[identity]`` for the user to the variables that set it, the newest name first."""

_OPTIONS = {
    "uri_v3": ("OS_AUTH_URL",),
    "region": ("OS_REGION_NAME",),
    "ca_certificates_file": ("OS_CACERT",),
    **USER_LOGIN,
}

_SERVICE_SECTIONS = ("compute", "image", "network", "object-storage", "placement", "volume")
"""Sections of Tempest's configuration that set an interface."""

UNUSED = {
    "cert": "no client certificate is sent, and a cloud that requires one refuses the connection",
    "key": "no client certificate is sent, and a cloud that requires one refuses the connection",
    "trust_id": "Tempest logs in without the trust, with the roles that the user itself has in the project",
    "system_scope": "Tempest gets a token for the project, not for the system",
    "passcode": "Tempest logs in without a one-time password, and a cloud that requires one rejects the user",
    "identity_provider": "Tempest logs in to Keystone itself, not by way of an identity provider",
    "protocol": "Tempest logs in to Keystone itself, not by way of an identity provider",
}
"""What OpenStack's clients use and Tempest cannot, as clouds.yaml calls it, to the consequence."""

_PASSWORD_LOGINS = ("", "password", "v3password", "v2password")
"""Kinds of log-in (``OS_AUTH_TYPE``, ``auth_type``) that need no more than a name and a password."""


def conf_of_openrc(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the cloud and its user as Tempest options; the path of the certificates is absolute.

    :raises ValueError: a variable is missing, or Tempest cannot log in this way.
    """
    # a shell that reads a file saved on Windows leaves the line's end in the values
    environ = {name: value.rstrip("\r") for name, value in environ.items() if name.startswith("OS_")}
    application = _first(environ, ("OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET"))
    check_login_kind(environ.get("OS_AUTH_TYPE", ""), bool(application), "the openrc")
    missing = [name for name in ("OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD") if not environ.get(name)]
    if "OS_USERNAME" in missing and environ.get("OS_USER_ID"):
        missing.remove("OS_USERNAME")
    if missing:
        raise ValueError(f"{', '.join(missing)} not set; source the cloud's openrc file first, or set OS_CLOUD")
    identity: dict[str, Any] = {
        option: value for option, names in _OPTIONS.items() if (value := _first(environ, names))
    }
    if "ca_certificates_file" in identity:
        identity["ca_certificates_file"] = os.path.abspath(os.path.expanduser(identity["ca_certificates_file"]))
    if is_true(environ.get("OS_INSECURE", "")):
        identity["disable_ssl_certificate_validation"] = True
    conf = with_interface({"identity": identity}, _first(environ, ("OS_INTERFACE", "OS_ENDPOINT_TYPE")))
    return with_services(conf, _settings(environ))


def unused_in_openrc(environ: Mapping[str, str]) -> str:
    """Return what the variables set and Tempest does not use, and the consequence; empty if there is nothing."""
    return unused(_settings(environ), lambda name: f"OS_{name.upper()}")


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables under the names that clouds.yaml has for them."""
    return {name[3:].lower(): value.strip() for name, value in environ.items() if name.startswith("OS_")}


def unused(values: Mapping[str, Any], shown: Callable[[str], str] = str) -> str:
    """Return a sentence for each consequence of what is set and not used; empty if nothing is.

    :param values: settings under the names that they have in clouds.yaml.
    :param shown: how the person calls a name.
    """
    names: dict[str, list[str]] = {}
    for name in (*UNUSED, *sorted(values.keys() - UNUSED.keys())):
        consequence = UNUSED.get(name) or why_unused(name)
        if values.get(name) and consequence:
            names.setdefault(consequence, []).append(shown(name))
    sentences = (
        f"{' and '.join(listed)} {'are' if len(listed) > 1 else 'is'} not used: {consequence}"
        for consequence, listed in names.items()
    )
    return "; ".join(sentences)


def is_true(value: Any) -> bool:
    """Return whether a value means yes, in one of the ways that OpenStack's own client understands."""
    return str(value).strip().lower() in ("1", "t", "true", "on", "y", "yes")


def with_interface(conf: dict[str, dict[str, Any]], interface: Any) -> dict[str, dict[str, Any]]:
    """Return options with the interface of the catalogue by which all services are reached; public is Tempest's own."""
    kind = interface_kind(interface)
    if not kind:
        return conf
    sections = {} if kind == "public" else {section: {"endpoint_type": kind} for section in _SERVICE_SECTIONS}
    return {**conf, **sections, "identity": {**conf["identity"], "v3_endpoint_type": kind}}


def check_login_kind(kind: str, has_application_credential: bool, where: str) -> None:
    """Refuse a log-in that Tempest cannot make.

    :param kind: as in ``OS_AUTH_TYPE``; empty for a password.
    :raises ValueError: with what to give instead.
    """
    kind = kind.strip()
    if "applicationcredential" in kind.lower() or (has_application_credential and not kind):
        raise ValueError(
            f"{where} has an application credential. Tempest cannot use it: Tempest must log in as a user and get "
            "tokens for its project. Give user name, password and project instead"
        )
    if kind.lower() not in _PASSWORD_LOGINS:
        raise ValueError(
            f"{where} uses the login method {kind[:40]!r}, which Tempest does not support; give user name, password "
            "and project instead"
        )


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")
