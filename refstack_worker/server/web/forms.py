"""How fields of forms become what the API takes, and where the errors of the API's fields are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refstack_worker.contract import text_lists
from refstack_worker.contract.text_files import lines_of
from refstack_worker.errors import RefstackError, UsageError
from refstack_worker.server.services.inputs.accounts_input import MAX_TEXT
from refstack_worker.server.services.inputs.checks import FieldError, field_errors, invalid
from refstack_worker.server.services.inputs.schema import MAX_ID

Conf = dict[str, dict[str, Any]]
PASSWORDS = (
    ("password", "identity", "password"),
    ("alt_password", "identity", "alt_password"),
    ("admin_password", "auth", "admin_password"),
)
"""Field of a form, section and option of Tempest."""
OPTIONS = (
    ("project_name", "identity", "project_name"),
    ("domain_name", "identity", "domain_name"),
    ("alt_project_name", "identity", "alt_project_name"),
    ("alt_domain_name", "identity", "alt_domain_name"),
    ("admin_project_name", "auth", "admin_project_name"),
    ("admin_domain_name", "auth", "admin_domain_name"),
)
"""The same for fields that are not secret."""


def accounts_text(form: Mapping[str, str], files: Mapping[str, Any]) -> str:
    """Return the accounts file of a form: the one that was chosen, else what was pasted; empty: neither.

    :raises InvalidInput: the file is too large, or not text.
    """
    file = files.get("accounts_file")
    data: bytes = file.read(MAX_TEXT + 1) if file else b""
    if len(data) > MAX_TEXT:
        raise invalid("accounts", f"The file is larger than {MAX_TEXT // 1024} KiB.")
    try:
        return text_lists.decode(data, "The file").strip() or form.get("accounts", "").strip()
    except UsageError as error:
        raise invalid("accounts", str(error)) from None


def passwords(form: Mapping[str, str]) -> Conf:
    """Return the options that the password fields of a form make."""
    return _options(form, PASSWORDS)


def options_of(form: Mapping[str, str]) -> Conf:
    """Return the options that projects, domains and the lines of Tempest options make."""
    found = tempest_options(form.get("options", ""))
    for section, values in _options({name: text.strip() for name, text in form.items()}, OPTIONS).items():
        found.setdefault(section, {}).update(values)
    return found


def shown_options(conf: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return options as the fields of a form; options without a field become lines of Tempest options."""
    left = {section: dict(values) for section, values in conf.items()}
    shown = {
        field: str(left[section].pop(option)) for field, section, option in OPTIONS if option in left.get(section, {})
    }
    lines = [f"{section}.{option} = {value}" for section, values in left.items() for option, value in values.items()]
    return {**shown, "options": "\n".join(lines)}


def tempest_options(text: str) -> Conf:
    """Return the options in lines such as ``compute.image_ref = 1234``. :raises InvalidInput: a line is wrong."""
    found: Conf = {}
    for number, line in enumerate(lines_of(text), 1):
        name, equals, value = line.partition("=")
        section, dot, option = name.strip().partition(".")
        if line.strip() and not (equals and dot and section and option):
            raise invalid("options", f"line {number}: write section.option = value, such as compute.image_ref = 1234")
        if line.strip():
            found.setdefault(section, {})[option.strip()] = value.strip()
    return found


def errors_of(error: RefstackError, fields: Mapping[str, str]) -> tuple[FieldError, ...]:
    """Return the errors of a form. :param fields: names in the API that differ from those in the form."""
    found = field_errors(error) or (FieldError("", str(error)),)
    return tuple(FieldError(_field(one.field, fields), _message(one)) for one in found)


def stripped(form: Mapping[str, str], *names: str) -> dict[str, Any]:
    """Return the fields of a form without blanks around; those that are empty are left out."""
    values = {name: form.get(name, "").strip() for name in names}
    return {name: value for name, value in values.items() if value}


def whole_number(text: str) -> int | None:
    """Return the whole number in a field; None: it holds something else, or more than 11 digits."""
    digits = text[1:] if text.startswith("-") else text
    # isdigit() alone is also true of "²", and int() refuses thousands of digits
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 12 else None


def number_or_text(text: str) -> int | str:
    """Return the whole number in a field, or the text as it is, for which the schema then has a message."""
    found = whole_number(text)
    return text if found is None else found


def id_in(text: str) -> int | None:
    """Return the id in a field; None: it holds something else, or a number that no id has."""
    found = whole_number(text)
    return found if found is not None and 0 < found <= MAX_ID else None


def _options(form: Mapping[str, str], fields: tuple[tuple[str, str, str], ...]) -> Conf:
    found: Conf = {}
    for field, section, option in fields:
        if form.get(field):
            found.setdefault(section, {})[option] = form[field]
    return found


def _message(error: FieldError) -> str:
    # all Tempest options share a field
    section, _, option = error.field.partition(".")
    return f"{option}: {error.message}" if section == "conf_json" and option else error.message


def _field(name: str, fields: Mapping[str, str]) -> str:
    whole, _, _rest = name.partition(".")
    return fields.get(name, fields.get(whole, whole))
