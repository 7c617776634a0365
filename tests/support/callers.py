"""Users of two vendors and an operator, who call the API and open pages; and a server for the commands."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from refstack_worker.cli.queue.main import main
from refstack_worker.server.app import create_app
from refstack_worker.server.ledger.ledger import Ledger

HERE = {"Origin": "http://localhost"}


class Somebody:
    """Calls the API with a token, and has a browser that is signed in with it."""

    def __init__(self, ledger: Ledger, app: Flask, name: str, scopes: list[str], user_id: int | None) -> None:
        self.name, self.user_id = name, user_id
        self.token = ledger.tokens.add(name, scopes, user_id)[1]
        self._app = app
        self._client: FlaskClient = app.test_client()

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self._client.open(path, method=method, json=body, headers=headers)

    def browser(self) -> Browser:
        return Browser(self._app.test_client(), self.token)


class Browser:
    """A browser that is signed in."""

    def __init__(self, client: FlaskClient, token: str) -> None:
        self._client = client
        client.post("/sign-in", data={"token": token}, headers=HERE)

    def get(self, path: str) -> Any:
        return self._client.get(path)

    def send(self, path: str, **form: Any) -> Any:
        """Send a form, with the key of this session."""
        found = re.search(r'name="form_key" value="([0-9a-f]+)"', self._client.get("/about").text)
        assert found
        return self._client.post(path, data={"form_key": found[1], **form}, headers=HERE)


class Callers:
    """``ann`` and ``abe`` belong to Acme, ``bob`` to Bravo."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.app = create_app(ledger)
        self.acme = ledger.accounts.add_vendor("Acme", contact_email="desk@acme.example").id
        self.bravo = ledger.accounts.add_vendor("Bravo").id
        self.ann, self.abe = self._user("ann", self.acme), self._user("abe", self.acme)
        self.bob = self._user("bob", self.bravo)
        self.reader = Somebody(ledger, self.app, "reader", ["vendor", "read"], self.ann.user_id)
        self.operator = Somebody(ledger, self.app, "op", ["operator"], None)

    def _user(self, name: str, vendor: int) -> Somebody:
        user = self.ledger.accounts.add_user(name, f"{name}@x.example", vendor).id
        return Somebody(self.ledger, self.app, name, ["vendor"], user)


@contextmanager
def commands(callers: Callers, folder: Path) -> Iterator[Callable[..., int]]:
    """Give ``refstack-queue`` as a function of a caller and words, against a real HTTP server."""
    server = make_server("127.0.0.1", 0, callers.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    def call(who: Somebody, *words: str) -> int:
        file = folder / f"token-{who.name}"
        file.write_text(who.token)
        file.chmod(0o600)
        return main(["--url", f"http://127.0.0.1:{server.port}", "--token-file", str(file), *words])

    try:
        yield call
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
