"""What counts as a secret, and how it is masked."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
import tracemalloc
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refstack_worker.contract.secrets import KnownSecrets, Masker, is_secret_option, secret_values

FORMER_DEFINITIONS = (
    r"pass(word|wd|phrase)?(_|$)|secret|token$|private_key|api_?key|credential$",
    r"pass|secret|token|credential|(?:^|_)key(?:$|_)",
    r"passw|secret|token|credential|private|_key\b|apikey|api_key",
)
"""Of execute_test, the server and the worker, which each missed what the others knew."""


@pytest.mark.parametrize(
    "name",
    [
        *("password", "admin_password", "ADMIN-PASSWORD", "passphrase", "image_pass", "pass", "passwd", "pwd"),
        *("secret", "client_secret", "token", "token_id", "auth.token", "credential", "credentials"),
        *("key", "access_key", "accesskey", "api_key", "apikey", "X-Api-Key", "private_key", "ssh.key", "keys"),
    ],
)
def test_names_of_secret_options(name: str) -> None:
    assert is_secret_option(name)


@pytest.mark.parametrize(
    "name",
    [
        *("username", "uri_v3", "monkey", "keystone", "keypair_name", "region", "image_ref"),
        *("use_dynamic_credentials", "default-credentials-domain-name", "validation.ssh_key_type", "change_password"),
    ],
)
def test_names_of_other_options(name: str) -> None:
    assert not is_secret_option(name)


@given(
    st.lists(st.sampled_from("pass word secret token key api _ - x private credential s phrase".split()), max_size=6)
)
def test_whatever_was_a_secret_is_one(words: list[str]) -> None:
    name = "".join(words)
    if any(re.search(pattern, name, re.IGNORECASE) for pattern in FORMER_DEFINITIONS):
        assert is_secret_option(name)


def test_values_of_secret_options() -> None:
    conf = {
        "identity": {"password": "one", "username": "demo", "use_password": True, "old_password": None},
        "auth": {"admin_password": 12345678, "pin_secret": 1.5, "tokens": ["two", 34567, ["three"]]},
    }
    assert secret_values(conf) == {"one", "12345678", "1.5", "two", "34567", "three"}


def test_a_password_in_an_address_is_a_secret() -> None:
    conf = {
        "identity": {"uri_v3": "https://admin:S3cretPw@k:5000/v3", "region": "a:b@c", "uri": "http://k:5000/a@b"},
        "service-clients": {"proxy_url": "http://:p%40ss@w@proxy:3128"},
        "plugin": {"hosts": ["x", "amqp://u:one@a,amqp://u:two@b/"]},
    }
    assert secret_values(conf) == {"S3cretPw", "p%40ss@w", "p@ss@w", "one", "two"}


@pytest.mark.parametrize("secret", ["pa$$w&rd<1>", 'quo"te\\d', "ünïcode-password", "with space and/slash", "p'w`\t12"])
def test_every_spelling_is_masked(secret: str) -> None:
    masker = Masker([secret])
    spellings = [
        *(secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]),
        *(quote(secret, safe=""), quote_plus(secret), secret.replace("$", "$$")),
        re.sub("%..", lambda escape: escape.group().lower(), quote(secret, safe="")),
        *(html.escape(secret), html.escape(secret, quote=False), urlencode({"a": secret})[2:]),
        *(base64.b64encode(secret.encode()).decode(), base64.urlsafe_b64encode(secret.encode()).decode()),
    ]
    for spelled in spellings:
        assert masker.text(f"it was {spelled}, yes") == "it was ***, yes"
        assert masker.same_length(spelled.encode()) == b"*" * len(spelled.encode())


@given(st.text("aZ09+/-_!", min_size=12, max_size=20), st.text(max_size=4))
def test_secret_of_basic_authentication_is_masked(secret: str, user: str) -> None:
    encoded = base64.b64encode(f"{user}:{secret}".encode("utf-8", "surrogatepass")).decode()
    masked = Masker([secret]).text(f"Authorization: Basic {encoded}\n")
    left = masked.rpartition("Basic ")[2].replace("***", "")
    assert len(left) <= len(encoded) - len(secret) + 6


@pytest.mark.parametrize("secret", ["it's-4me", "a\\b\"c'd-4me", "pässwört-4me", "p/ss word%4me"])
def test_a_secret_in_what_python_and_the_shell_show_of_a_body_is_masked(secret: str) -> None:
    masker = Masker([secret])
    bodies = [json.dumps({"password": secret}, ensure_ascii=is_ascii) for is_ascii in (True, False)]
    shown = [
        *map(repr, bodies),
        *(repr(body.encode()) for body in bodies),
        *(json.dumps(body, ensure_ascii=is_ascii) for body in bodies for is_ascii in (True, False)),
        repr(f'"{secret}"'),
        repr(secret.encode()),
        shlex.join(["--password", secret]),
        f"https://cloud.example/{quote(secret)}",
    ]
    for text in shown:
        assert "4me" in text and "4me" not in masker.text(text), text


def test_longer_secret_wins() -> None:
    assert Masker(("pw-12345", "longer-pw-12345")).text("x longer-pw-12345 y") == "x *** y"


def test_short_secret_is_masked_as_a_word_alone() -> None:
    text = "user=x password=admin tempest.api.administration"
    assert Masker(["admin"]).text(text) == "user=x password=*** tempest.api.administration"


def test_switches_and_short_values_stay() -> None:
    known = KnownSecrets()
    known.add_conf({"identity": {"user_unique_last_password_count": 2}, "x": {"password_ok": "True", "secret": "abc"}})
    assert known.mask("True 2 abc is fine") == "True 2 abc is fine"


def test_names_keep_words_and_short_secrets() -> None:
    masker = Masker(["secret_word", "v2025", "s3cret-1"])
    assert masker.name("test_secret_word_v2025[s3cret-1]") == "test_secret_word_v2025[***]"


def test_values_of_every_shape() -> None:
    value = {"a": ["x s3cret-1", 1, None], "b": {"s3cret-1": True}}
    assert Masker(["s3cret-1"]).value(value) == {"a": ["x ***", 1, None], "b": {"s3cret-1": True}}


def test_text_that_is_not_unicode_passes() -> None:
    line = b"caf\xe9 s3cret-1".decode("utf-8", "surrogateescape")
    assert Masker(["s3cret-1"]).text(line).encode("utf-8", "surrogateescape") == b"caf\xe9 ***"
    assert Masker(["s3cret-1"]).text("\ud800 s3cret-1") == "\ud800 ***"


@given(st.text("ab-", min_size=4, max_size=9), st.text("ab-", max_size=40), st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=300)
def test_secret_in_pieces_is_masked(secret: str, text: str, cuts: list[int]) -> None:
    masker = Masker([secret])
    whole = f"{text}{secret}{text}".encode()
    marks = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    kept, rest = b"", b""
    for begin, end in zip(marks, marks[1:]):
        masked, rest = masker.split(rest + whole[begin:end], is_last=end == len(whole))
        kept += masked
    assert rest == b""
    assert secret.encode() not in kept or (len(secret) < 6 and secret.isalnum())


def test_piece_without_a_start_of_a_secret_waits_for_nothing() -> None:
    masker = Masker(["s3cret-1"])
    assert masker.split(b"plain text") == (b"plain text", b"")
    assert masker.split(b"plain s3cr") == (b"plain ", b"s3cr")
    assert masker.split(b"plain s3cr", is_last=True) == (b"plain s3cr", b"")


def test_false_starts_make_more_wait_never_less() -> None:
    masker = Masker(["a" * 4000 + "b"])
    text = b"a" * 3000 + b"c" + b"a" * 900
    masked, rest = masker.split(text)
    assert masked + rest == text
    assert rest.endswith(b"a" * 900)


@pytest.mark.parametrize(
    "secrets",
    [["x" * 60_000], [f"secret-{number:05}" for number in range(20_000)], ["a" * 4000 + str(n) for n in range(200)]],
    ids=["long", "many", "alike"],
)
def test_memory_grows_with_the_secrets_and_not_with_their_square(secrets: list[str]) -> None:
    tracemalloc.start()
    try:
        masker = Masker(secrets)
        masker.split(b"plain text with secret-000 and aaaa" * 100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * sum(map(len, secrets))


def test_known_secrets_are_forgotten_with_their_last_user() -> None:
    known = KnownSecrets()
    with known.hidden(["s3cret-1", "other-one"]):
        with known.hidden(["s3cret-1"]):
            assert known.mask("s3cret-1") == "***"
        assert known.mask("s3cret-1 other-one") == "*** ***"
    assert known.mask("s3cret-1") == "s3cret-1"
    known.add("s3cret-1", "")
    assert known.mask("s3cret-1") == "***"
