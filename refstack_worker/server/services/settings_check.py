"""Can the server work with its settings? Looks at the files that they name, without asking any service."""

from __future__ import annotations

from pathlib import Path

from refstack_worker.config.file_checks import check_authorities, check_text
from refstack_worker.config.server import ServerSettings
from refstack_worker.contract.upload_key import UploadKey
from refstack_worker.errors import ConfigError, KeyFileError
from refstack_worker.server.db.database import check_url
from refstack_worker.server.services.health import check_keys


def check_settings(settings: ServerSettings) -> None:
    """Raise :class:`ConfigError` for the first setting that cannot work."""
    check_keys(settings)
    if settings.data.exists() and not settings.data.is_dir():
        raise ConfigError(f"DATA_FOLDER: {settings.data} is not a folder; name one")
    check_url(settings.database.url)
    _check_sign_in(settings)
    _check_mail(settings)
    _check_upload_key(settings)
    _check_tempest(settings)


def _check_sign_in(settings: ServerSettings) -> None:
    sign_in = settings.sign_in
    if sign_in.secret_file:
        check_text("OIDC_CLIENT_SECRET_FILE", sign_in.secret_file, "the client secret")
    if sign_in.ca_file:
        check_authorities("OIDC_CA_FILE", Path(sign_in.ca_file))


def _check_mail(settings: ServerSettings) -> None:
    notify = settings.notify
    if notify.smtp_password:
        check_text("SMTP_PASSWORD_FILE", notify.smtp_password, "the password of SMTP_USER")
    elif notify.smtp_user:
        raise ConfigError("SMTP_USER: no password is set; name the file that contains it in SMTP_PASSWORD_FILE")
    if notify.smtp_ca_file:
        check_authorities("SMTP_CA_FILE", notify.smtp_ca_file)


def _check_upload_key(settings: ServerSettings) -> None:
    if settings.outbound.upload_key is None:
        return
    try:
        UploadKey.read(settings.outbound.upload_key)
    except KeyFileError as error:
        raise KeyFileError(f"UPLOAD_KEY_FILE: {error}; fix the file, or remove the setting") from None


def _check_tempest(settings: ServerSettings) -> None:
    home = settings.tempest.home
    todo = "name a virtualenv or checkout with Tempest"
    if home is None and settings.queue.method == "local":
        raise ConfigError(f'TEMPEST_HOME is not set, and TEST_METHOD "local" needs it; {todo}')
    if home is not None and not home.is_dir():
        raise ConfigError(f"TEMPEST_HOME: {home} is not a folder; {todo}")
