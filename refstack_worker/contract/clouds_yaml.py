"""A cloud by its name in ``clouds.yaml``, found and merged as openstacksdk does, as Tempest options of a user.

The order of the files is that of ``openstack.config.loader``. PyYAML is used where it is installed; without it the
files have to be JSON, which openstacksdk reads too. Standard library alone besides: this module is part of the single
file ``execute_test``.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from refstack_worker.contract.accounts_yaml import text_loader
from refstack_worker.contract.openrc import USER_LOGIN, check_login_kind, is_true, unused, with_interface
from refstack_worker.contract.service_settings import with_services
from refstack_worker.contract.text_files import decode_text, read_limited

_SUFFIXES = (".yaml", ".yml", ".json")
_OLDER_LOGIN_NAMES = {"tenant_name": "project_name", "tenant_id": "project_id", "user_name": "username",
                      "default_domain": "domain_id", "default_domain_name": "domain_name",
                      "default_domain_id": "domain_id"}  # fmt: skip
_NO = ("0", "f", "false", "off", "n", "no")
_APPLICATION = ("application_credential_id", "application_credential_secret")


def conf_of_cloud(name: str, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the cloud that is called ``name`` as Tempest options; the path of its certificates is absolute.

    A password that stands in no file is taken from ``OS_PASSWORD``, and of several regions ``OS_REGION_NAME``.

    :raises ValueError: there is no such cloud, its file cannot be read, or Tempest cannot log in this way.
    """
    where = f"the cloud {name!r}"
    entry = _regional(_entry(name, environ), environ.get("OS_REGION_NAME", ""), where)
    auth = _login(entry)
    if "password" not in auth and environ.get("OS_PASSWORD"):
        auth["password"] = environ["OS_PASSWORD"]
    check_login_kind(str(entry.get("auth_type") or ""), any(name in auth for name in _APPLICATION), where)
    _check_complete(auth, where)
    identity: dict[str, Any] = {"uri_v3": _filled(str(auth["auth_url"]), entry)}
    identity.update({option: _text(auth[option], where, option) for option in USER_LOGIN if option in auth})
    if entry.get("region_name"):
        identity["region"] = str(entry["region_name"])
    if entry.get("cacert"):
        identity["ca_certificates_file"] = os.path.abspath(os.path.expanduser(str(entry["cacert"])))
    if is_true(entry.get("insecure")) or str(entry.get("verify", True)).lower() in _NO:
        identity["disable_ssl_certificate_validation"] = True
    interface = entry.get("interface") or entry.get("endpoint_type")
    return with_services(with_interface({"identity": identity}, interface), entry)


def unused_in_cloud(name: str, environ: Mapping[str, str]) -> str:
    """Return what a cloud sets and Tempest does not use, and the consequence; empty if there is nothing.

    :raises ValueError: as :func:`conf_of_cloud`.
    """
    entry = _regional(_entry(name, environ), environ.get("OS_REGION_NAME", ""), f"the cloud {name!r}")
    auth = _mapping(entry, "auth")
    return unused({**auth, **{option: value for option, value in entry.items() if value}})


def _entry(name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return a cloud's entry: its profile in ``clouds-public``, over it ``clouds``, over it ``secure``."""
    paths = list(_places("clouds", environ.get("OS_CLIENT_CONFIG_FILE", ""), environ))
    path, whole = _read_first(paths)
    _, secure = _read_first(_places("secure", environ.get("OS_CLIENT_SECURE_FILE", ""), environ))
    clouds = _merged(_mapping(whole, "clouds"), _mapping(secure, "clouds"))
    if name in clouds and clouds[name] in (None, ""):
        raise ValueError(f"the cloud {name!r} in {path} is empty; write its auth_url, user and project below it")
    if not isinstance(clouds.get(name), dict):
        known = ", ".join(sorted(map(str, clouds)))[:300] or "no clouds below 'clouds:'"
        looked = (
            f"{path}; it has {known}" if path else f"any of {', '.join(sorted({str(one.parent) for one in paths}))}"
        )
        raise ValueError(f"there is no cloud {name!r} in {looked} (clouds.yaml, found as openstacksdk finds it)")
    entry = _normalized(clouds[name])
    profile = str(entry.get("profile") or entry.get("cloud") or "")
    if not profile:
        return entry
    _, public = _read_first(_places("clouds-public", "", environ))
    found = _mapping(public, "public-clouds").get(profile)
    if found is None and not _login(entry).get("auth_url"):
        raise ValueError(
            f"the cloud {name!r} has the profile {profile!r}, which no clouds-public.yaml has; "
            "write its auth_url into clouds.yaml"
        )
    below = _normalized(found) if isinstance(found, dict) else {}
    if entry.get("region_name"):
        # the profile lists all regions of the vendor; the entry says which one is meant
        below.pop("regions", None)
    return _merged(below, entry)


def _places(stem: str, named: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files that openstacksdk looks for, in its order."""
    if named:
        yield Path(named)
    home = environ.get("HOME") or os.path.expanduser("~")
    site = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    folders = [
        Path.cwd(),
        Path(environ.get("XDG_CONFIG_HOME") or f"{home}/.config") / "openstack",
        Path(environ.get("SNAP_REAL_HOME") or home) / ".config" / "openstack",
        *(Path(folder) / "openstack" for folder in site if folder),
        Path("/etc/openstack"),
    ]
    for folder in dict.fromkeys(folders):
        yield from (folder / f"{stem}{suffix}" for suffix in _SUFFIXES)


def _read_first(paths: Any) -> tuple[Path | None, Any]:
    """Return the first of the files that is there and may be read, and what it holds."""
    for path in paths:
        try:
            return path, _parsed(decode_text(read_limited(path)), path)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: cannot be read: {error}") from None
    return None, {}


def _parsed(text: str, path: Path) -> Any:
    # the text may hold a password: give the position, never the content
    try:
        # numbers as they are written, as below
        return json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        pass
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise ValueError(
            f"{path}: PyYAML is needed to read it, and is not installed for this Python "
            "(python3-yaml; or save the file as JSON, or use an openrc file)"
        ) from None
    try:
        # every scalar as the text that stands there: the password 0123 must not become a number
        return yaml.load(text, Loader=text_loader(yaml, has_booleans=True))  # noqa: S506 - makes texts and booleans
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"{path}: not YAML" + (f" (line {mark.line + 1})" if mark else "")) from None


def _mapping(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = _merged(inner, value) if isinstance(value, dict) and isinstance(inner, dict) else value
    return result


def _normalized(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(key).replace("-", "_"): _normalized(value) if isinstance(value, dict) else value
        for key, value in entry.items()
    }


def _regional(entry: Mapping[str, Any], wanted: str, where: str) -> dict[str, Any]:
    """Return the entry for one region, with what holds in that region alone."""
    wanted = wanted.strip()
    listed = entry.get("regions") or entry.get("region_name") or []
    listed = listed.split(",") if isinstance(listed, str) else listed if isinstance(listed, list) else [listed]
    regions = [one if isinstance(one, dict) else {"name": str(one).strip()} for one in listed]
    names = [str(one.get("name")) for one in regions]
    if wanted and names and wanted not in names:
        raise ValueError(f"{where} has no region {wanted!r} (OS_REGION_NAME); it has {', '.join(names)}")
    chosen = next((one for one in regions if str(one.get("name")) == wanted), regions[0] if regions else {})
    values = chosen.get("values")
    region = str(chosen.get("name") or wanted)
    return _merged({**entry, "region_name": region}, _normalized(values) if isinstance(values, dict) else {})


def _login(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``auth`` under today's names.

    Project and domains count more where they stand beside ``auth``, all else where it stands in it; and of two names of
    one entry today's counts more than the older one. So does openstacksdk.
    """
    auth, login = _mapping(entry, "auth"), {}
    for name in (*_OLDER_LOGIN_NAMES, *USER_LOGIN, "auth_url", *_APPLICATION):
        of_auth, beside = auth.get(name), entry.get(name)
        first, second = (beside, of_auth) if "project" in name or "domain" in name else (of_auth, beside)
        value = second if first in (None, "") else first
        if value not in (None, ""):
            login[_OLDER_LOGIN_NAMES.get(name, name)] = value
    return login


def _check_complete(auth: Mapping[str, Any], where: str) -> None:
    if not auth.get("auth_url"):
        raise ValueError(f"{where} has no auth_url")
    if not ("username" in auth or "user_id" in auth):
        raise ValueError(f"{where} has no username")
    if "password" not in auth:
        raise ValueError(f"{where} has no password; write it into secure.yaml, or set OS_PASSWORD")


def _filled(address: str, entry: Mapping[str, Any]) -> str:
    """Return an address with the names in braces put in: profiles write ``https://{region_name}.example``."""
    for name, value in entry.items():
        if isinstance(value, str):
            address = address.replace(f"{{{name}}}", value)
    return address


def _text(value: Any, where: str, option: str) -> str:
    if isinstance(value, (bool, list, dict)):
        raise ValueError(f"{where}: auth.{option} is not a string; put it in quotes")
    return str(value)
