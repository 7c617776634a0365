"""The peer of ``tests/bench/api.py``: a Flask view that does one INSERT and nothing else, on the same database."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, jsonify
from sqlalchemy import create_engine, text

STATEMENT = text("INSERT INTO bare_beat (at, said) VALUES (now(), 'beat')")


def application() -> Any:
    """Return the WSGI application."""
    engine = create_engine(
        os.environ["BARE_DATABASE"].replace("postgresql:", "postgresql+psycopg2:"),
        pool_size=20,
        max_overflow=20,
        future=True,
    )
    app = Flask("bare")

    @app.post("/beat")
    def beat() -> Any:
        with engine.begin() as connection:
            connection.execute(STATEMENT)
        return jsonify({"order": "go"})

    return app
