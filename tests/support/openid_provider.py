"""A real OpenID Connect provider on loopback: authlib's server, which demands PKCE and uses each code once."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from socketserver import ThreadingMixIn
from typing import Any
from unittest import mock
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode, UserInfo
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask, request
from jwt.algorithms import RSAAlgorithm

KEY_ID = "key-1"


@dataclass
class Client:
    """The one application that is registered."""

    client_id: str
    secret: str
    redirect_uri: str

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return bool(self.secret) and client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("client_secret_basic" if self.secret else "none")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code:
    """A code that was given out."""

    code: str
    user: Mapping[str, Any]
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str
    auth_time: int = field(default_factory=lambda: int(time.time()))
    acr: None = None
    amr: None = None

    def is_expired(self) -> bool:
        return False

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class OpenIDProvider:
    """A provider with its users; ``POST /authorize?…`` with ``sub`` is a user who signs in and agrees.

    Browsers get a page with a button for each user.
    """

    users: dict[str, dict[str, Any]]
    """Subject to claims."""
    client: Client
    url: str = ""
    codes: dict[str, Code] = field(default_factory=dict)
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    claims_in_token: bool = True
    """Else they are only at the user info endpoint."""

    def rotate_key(self) -> None:
        """Sign with a new key from now on."""
        self.key = rsa.generate_private_key(65537, 2048)


@contextmanager
def openid_provider(users: dict[str, dict[str, Any]], client: Client) -> Iterator[OpenIDProvider]:
    """Serve a provider on a free port."""
    provider = OpenIDProvider(users, client)
    # authlib of Debian 12 wants https on loopback, too
    with (
        mock.patch.dict(os.environ, AUTHLIB_INSECURE_TRANSPORT="1"),
        make_server("127.0.0.1", 0, _app(provider), _Threaded, _Quiet) as server,
    ):
        provider.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()


class _Threaded(ThreadingMixIn, WSGIServer):
    """A browser keeps a connection open on which it asks nothing."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _app(provider: OpenIDProvider) -> Flask:
    app = Flask("provider")
    tokens: dict[str, Mapping[str, Any]] = {}

    def save_token(token: Mapping[str, Any], asked: Any) -> None:
        tokens[token["access_token"]] = asked.user

    server = AuthorizationServer(
        app, query_client=lambda name: provider.client if name == provider.client.client_id else None,
        save_token=save_token,
    )  # fmt: skip
    server.register_grant(_code_grant(provider), [_id_tokens(provider), CodeChallenge(required=True)])

    @app.get("/.well-known/openid-configuration")
    def describe() -> dict[str, Any]:
        method = "client_secret_basic" if provider.client.secret else "none"
        places = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
        paths = ("authorize", "token", "jwks", "userinfo")
        return {
            "issuer": provider.url,
            **{place: f"{provider.url}/{path}" for place, path in zip(places, paths)},
            "token_endpoint_auth_methods_supported": [method],
        }

    @app.get("/jwks")
    def publish_keys() -> dict[str, Any]:
        return {"keys": [_public(provider)]}

    @app.post("/authorize")
    def authorize() -> Any:
        user = {"sub": request.form["sub"], **provider.users[request.form["sub"]]}
        try:
            grant = server.get_consent_grant(end_user=user)
            return server.create_authorization_response(grant_user=user, grant=grant)
        except TypeError:  # authlib of Debian 12
            return server.create_authorization_response(grant_user=user)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/userinfo")
    def user_info() -> Any:
        return dict(tokens[request.headers["Authorization"].partition(" ")[2]])

    app.add_url_rule("/authorize", "ask", lambda: _consent_page(provider))
    return app


def _consent_page(provider: OpenIDProvider) -> str:
    names = [escape(subject) for subject in provider.users]
    buttons = "".join(f'<button name="sub" value="{name}">{name}</button>' for name in names)
    return f'<!doctype html><title>Provider</title><form method="post">{buttons}</form>'


def _code_grant(provider: OpenIDProvider) -> type[grants.AuthorizationCodeGrant]:
    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "none")

        def save_authorization_code(self, code: str, request: Any) -> None:
            query = _query()
            names = ("redirect_uri", "scope", "nonce", "code_challenge", "code_challenge_method")
            provider.codes[code] = Code(code, request.user, **{name: query.get(name, "") for name in names})

        def query_authorization_code(self, code: str, client: Any) -> Code | None:
            return provider.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            del provider.codes[authorization_code.code]

        def authenticate_user(self, authorization_code: Code) -> Mapping[str, Any]:
            return authorization_code.user

    return CodeGrant


def _query() -> Mapping[str, str]:
    return request.args


def _id_tokens(provider: OpenIDProvider) -> OpenIDCode:
    class IdTokens(OpenIDCode):
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def get_jwt_config(self, grant: Any, client: Any = None) -> dict[str, Any]:
            return {"key": _private(provider), "alg": "RS256", "iss": provider.url, "exp": 300}

        def generate_user_info(self, user: Mapping[str, Any], scope: str) -> UserInfo:
            return UserInfo(**(user if provider.claims_in_token else {"sub": user["sub"]}))

    return IdTokens(require_nonce=True)


def _private(provider: OpenIDProvider) -> dict[str, Any]:
    made = RSAAlgorithm.to_jwk(provider.key)
    return {**(json.loads(made) if isinstance(made, str) else made), "kid": _key_id(provider)}


def _public(provider: OpenIDProvider) -> dict[str, Any]:
    made = RSAAlgorithm.to_jwk(provider.key.public_key())
    return {**(json.loads(made) if isinstance(made, str) else made), "kid": _key_id(provider), "use": "sig"}


def _key_id(provider: OpenIDProvider) -> str:
    public = provider.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"{KEY_ID}-{hash(public) & 0xFFFF:04x}"
