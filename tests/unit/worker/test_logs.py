from __future__ import annotations

import json
import logging

from refstack_worker.contract.secrets import secret_values
from refstack_worker.worker import logs


def record(text: str, *args: object, **more: object) -> logging.LogRecord:
    return logging.LogRecord("refstack_worker.x", logging.WARNING, "x.py", 1, text, args, more.get("exc_info"))  # type: ignore[arg-type]


def test_each_line_names_the_run() -> None:
    with logs.about("12:3"):
        assert logs.Formatter("plain", False).format(record("hi")).endswith(" WARNING test 12 attempt 3: hi")
        shown = json.loads(logs.Formatter("json", False).format(record("hi")))
    assert (shown["test_id"], shown["attempt"], shown["message"], shown["level"]) == (12, 3, "hi", "warning")
    assert "test_id" not in json.loads(logs.Formatter("json", False).format(record("hi")))


def test_the_journal_gets_its_priority_and_one_line() -> None:
    assert logs.Formatter("plain", True).format(record("a\nb")) == "<4>a | b"


def test_secrets_are_masked_for_as_long_as_their_run_lasts() -> None:
    formatter = logs.Formatter("plain", True)
    conf = {
        "identity": {"admin_password": "hunter22", "username": "admin"},
        "x": {"flavors": ["tiny"], "private_key": "kkkk"},
    }
    assert secret_values(conf) == {"hunter22", "kkkk"}
    with logs.SECRETS.hidden(secret_values(conf)):
        with logs.SECRETS.hidden({"hunter22", "hunter22more"}):
            assert formatter.format(record("%s and %s", "hunter22more", "admin")) == "<4>*** and admin"
        assert formatter.format(record("still hunter22")) == "<4>still ***"
        try:
            raise ValueError("hunter22")
        except ValueError as error:
            shown = formatter.format(record("x", exc_info=(ValueError, error, error.__traceback__)))
        assert "ValueError: ***" in shown and "hunter22" not in shown
    assert formatter.format(record("hunter22")) == "<4>hunter22"


def test_a_value_too_short_to_mask_without_harm_is_left() -> None:
    with logs.SECRETS.hidden({"a", ""}):
        assert logs.SECRETS.mask("a banana") == "a banana"


def test_what_a_run_writes_moves_no_cursor_and_begins_no_line() -> None:
    line = logs.Formatter("plain", False).format(record("run: %s", "a\rb\x1b[2Jc\x85d\u2028e\u202ef\x00"))
    assert line.endswith("run: a?b?[2Jc?d?e?f?")
