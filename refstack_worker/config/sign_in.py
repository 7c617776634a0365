"""Settings of the sign-in by OpenID Connect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refstack_worker.config import server_values as read
from refstack_worker.config.declared import setting


@dataclass(frozen=True)
class SignInSettings:
    """Where people sign in beside API tokens."""

    issuer: str = setting(
        "OIDC_ISSUER",
        "",
        "Issuer URL of the OpenID Connect provider; without it, people sign in with API tokens only. Register "
        "`APP_ADDRESS/sign-in/callback` there as the redirect URI.",
        read=read.url,
    )
    client_id: str = setting("OIDC_CLIENT_ID", "", "Client id at the provider.")
    secret_file: Path | None = setting(
        "OIDC_CLIENT_SECRET_FILE",
        None,
        "File with the client secret; without it the client is a public one (PKCE protects both).",
        secret=True,
    )
    name: str = setting("OIDC_NAME", "single sign-on", "What the sign-in page calls the provider.")
    ca_file: str = setting(
        "OIDC_CA_FILE", "", "PEM file of the authorities to trust for the provider.", shown="the system's"
    )

    @property
    def is_on(self) -> bool:
        return bool(self.issuer)
