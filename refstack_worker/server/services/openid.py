"""A client of one OpenID Connect provider: authorization code flow with PKCE, state and nonce (OpenID Connect Core).

Signatures and times of ID tokens are checked by PyJWT.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

import jwt
import requests

from refstack_worker.config.sign_in import SignInSettings
from refstack_worker.errors import ConfigError, ServerError
from refstack_worker.http.session import HttpSession, cause, read_body
from refstack_worker.server.ledger.transactions import refused

SCOPES = "openid email profile"
TIMEOUT = (5.0, 10.0)
MAX_BODY = 1024 * 1024
KEPT_SECONDS = 3600.0
"""For which the provider's description and keys are believed."""
AWAY_SECONDS = 10.0
"""For which a provider that could not be asked is not asked again."""
LEEWAY = 60.0
"""Seconds by which the clocks may differ."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Of signatures; none that needs a shared secret."""


@dataclass(frozen=True)
class Flow:
    """One sign-in under way; the browser keeps it, sealed."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    after: str = ""
    """Path to go on to."""
    invitation: str = field(default="", repr=False)

    @classmethod
    def begin(cls, after: str = "", invitation: str = "") -> Flow:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, after, invitation)


@dataclass(frozen=True)
class Identity:
    """Identity of a user at the provider."""

    issuer: str
    subject: str
    email: str = ""
    """Only where the provider has verified it."""
    name: str = ""


class Provider:
    """The provider that the settings name; threads may share it."""

    def __init__(self, settings: SignInSettings, redirect_uri: str) -> None:
        self._settings = settings
        self._redirect_uri = redirect_uri
        self._lock = threading.Lock()
        self._about: Mapping[str, Any] = {}
        self._keys: Mapping[str, Any] = {}
        self._until = 0.0
        self._trouble: ServerError | None = None
        self._away_until = 0.0

    def authorization_url(self, flow: Flow) -> str:
        """Return where the browser goes to. :raises ServerError: the provider cannot be reached."""
        digest = hashlib.sha256(flow.verifier.encode("ascii")).digest()
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": SCOPES,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii"),
            "code_challenge_method": "S256",
        }
        endpoint = str(self._description()["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    def identity(self, flow: Flow, state: str, code: str) -> Identity:
        """Return who came back with a code.

        :raises RefusedError: ``sign-in``: the answer belongs to another sign-in, or proves nothing.
        :raises ServerError: the provider cannot be reached, or answers nonsense.
        """
        if not hmac.compare_digest(flow.state.encode(), state.encode("utf-8", "replace")):
            raise refused("sign-in", "This response belongs to another sign-in. Try again.")
        tokens = self._tokens(code, flow.verifier)
        claims = self._claims(str(tokens.get("id_token") or ""), flow.nonce)
        if "email" not in claims:
            claims = {**self._user_info(str(tokens.get("access_token") or ""), claims["sub"]), **claims}
        is_verified = claims.get("email_verified") is True
        email = str(claims.get("email") or "") if is_verified else ""
        return Identity(self._settings.issuer, str(claims["sub"]), email, str(claims.get("name") or ""))

    def _tokens(self, code: str, verifier: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": self._settings.client_id,
            "code_verifier": verifier,
        }
        secret = self._secret()
        methods = self._description().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        headers = {"Accept": "application/json"}
        if secret and "client_secret_basic" in methods:
            pair = f"{quote_plus(self._settings.client_id)}:{quote_plus(secret)}".encode("ascii")
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode('ascii')}"
        elif secret:
            form["client_secret"] = secret
        return self._ask("POST", str(self._description()["token_endpoint"]), data=form, headers=headers)

    def _claims(self, id_token: str, nonce: str) -> dict[str, Any]:
        try:
            claims = self._verified(id_token)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError) as error:
            # the last ones: keys or claims of another shape than they must have
            raise refused("sign-in", f"The provider's response is not valid: {error}.") from error
        if not hmac.compare_digest(str(claims.get("nonce") or "").encode(), nonce.encode()):
            raise refused("sign-in", "The provider's response belongs to another sign-in. Try again.")
        authorized = claims.get("azp", self._settings.client_id)
        if authorized != self._settings.client_id or not 0 < len(str(claims["sub"])) <= 255:
            raise refused("sign-in", "The provider's response is for another application.")
        return claims

    def _verified(self, id_token: str) -> dict[str, Any]:
        head = jwt.get_unverified_header(id_token)
        failure: Exception = ValueError("it is signed with a key that the provider does not publish")
        for is_fresh in (False, True):
            for key in self._signing_keys(head, is_fresh):
                try:
                    return self._decoded(id_token, key)
                except jwt.InvalidSignatureError as error:
                    # the provider may have a new key, or tell not by which one it signs
                    failure = error
        raise failure

    def _decoded(self, id_token: str, key: Any) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key,
            algorithms=list(ALGORITHMS),
            audience=self._settings.client_id,
            issuer=str(self._description()["issuer"]),
            leeway=LEEWAY,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
        return claims

    def _user_info(self, access_token: str, subject: str) -> Mapping[str, Any]:
        endpoint = self._description().get("userinfo_endpoint")
        if not endpoint or not access_token:
            return {}
        found = self._ask("GET", str(endpoint), token=access_token, headers={"Accept": "application/json"})
        # the answer may be about another user: OpenID Connect Core 5.3.2
        return found if found.get("sub") == subject else {}

    def _signing_keys(self, head: Mapping[str, Any], is_fresh: bool) -> list[Any]:
        algorithm, key_id = str(head.get("alg") or ""), head.get("kid")
        listed = [one for one in self._jwks(is_fresh).get("keys", ()) if _may_sign(one, algorithm)]
        return [jwt.PyJWK(one).key for one in listed if not key_id or one.get("kid") == key_id]

    def _description(self) -> Mapping[str, Any]:
        with self._lock:
            now = time.monotonic()
            if now < self._away_until and self._trouble is not None:
                # anyone may begin a sign-in: each would wait here for its own try
                raise ServerError(str(self._trouble))
            if now >= self._until:
                try:
                    self._load()
                except ServerError as error:
                    self._trouble, self._away_until = error, time.monotonic() + AWAY_SECONDS
                    raise
            return self._about

    def _jwks(self, is_fresh: bool) -> Mapping[str, Any]:
        self._description()
        with self._lock:
            if is_fresh:
                self._keys = self._ask("GET", str(self._about["jwks_uri"]))
            return self._keys

    def _load(self) -> None:
        issuer = self._settings.issuer
        about = self._ask("GET", f"{issuer}/.well-known/openid-configuration")
        needed = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
        if any(not isinstance(about.get(name), str) for name in needed) or about["issuer"].rstrip("/") != issuer:
            raise ServerError(f"OIDC_ISSUER: {issuer} does not describe itself as a provider with that issuer")
        self._keys = self._ask("GET", about["jwks_uri"])
        self._about, self._until = about, time.monotonic() + KEPT_SECONDS

    def _ask(self, method: str, url: str, token: str = "", **more: Any) -> Mapping[str, Any]:  # nosec B107 - empty: none
        session = HttpSession(token, self._settings.ca_file)
        try:
            with session.response(method, url, TIMEOUT, **more) as response:
                body, status = read_body(response, MAX_BODY, sum(TIMEOUT)), response.status_code
        except (requests.RequestException, OSError) as error:
            raise ServerError(f"{url}: {cause(error)}") from error
        finally:
            session.close()
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if status == 400 and isinstance(value, dict):
            raise refused("sign-in", f"The provider refuses: {str(value.get('error'))[:80]}.")
        if status != 200 or not isinstance(value, dict):
            raise ServerError(f"{url}: unexpected response {status}")
        return value

    def _secret(self) -> str:
        path = self._settings.secret_file
        if path is None:
            return ""
        try:
            return path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"OIDC_CLIENT_SECRET_FILE: {path}: cannot be read: {error}") from error


def _may_sign(key: Mapping[str, Any], algorithm: str) -> bool:
    kinds = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
    return key.get("kty") == kinds.get(algorithm[:2]) and key.get("use", "sig") == "sig"
