from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from refstack_worker.contract import payload as payloads
from refstack_worker.contract.payload import Payload
from refstack_worker.errors import PayloadError


def changed(payload: Payload, **fields: Any) -> bytes:
    value = {**payload.to_json(), **fields}
    return json.dumps({key: item for key, item in value.items() if item is not None}).encode()


def refusal(data: bytes) -> str:
    with pytest.raises(PayloadError) as caught:
        Payload.from_bytes(data)
    return str(caught.value)


def test_what_is_written_is_read_back(payload: Payload) -> None:
    assert Payload.from_bytes(payload.to_bytes()) == payload


def test_same_payload_same_bytes(payload: Payload) -> None:
    assert payload.to_bytes() == Payload.from_bytes(payload.to_bytes()).to_bytes()


def test_no_secret_in_its_representation(payload: Payload) -> None:
    assert "s3cr3t" not in repr(payload) and payload.secret not in repr(payload)


@given(st.binary(max_size=400))
@example(b"[" * 100_000)
@example(b'{"version":' + b"1" * 5000 + b"}")
@example(b"\xff\xfe{\x00}\x00")
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_payload_or_one_clear_error(data: bytes) -> None:
    try:
        Payload.from_bytes(data)
    except PayloadError as error:
        assert str(error).startswith("payload: ") and "\n" not in str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(field=st.sampled_from(sorted([*payloads.SCHEMA["properties"], "surprise"])), value=json_values)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_any_field_gives_a_payload_or_one_clear_error(payload: Payload, field: str, value: Any) -> None:
    data = json.dumps({**payload.to_json(), field: value}).encode()
    try:
        made = Payload.from_bytes(data)
    except PayloadError as error:
        assert str(error).startswith("payload: ")
        assert len(str(error)) < 1000
    else:
        assert Payload.from_bytes(made.to_bytes()) == made


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"version": 2}, "version 2 is unknown"),
        ({"version": True}, "version True is unknown"),
        ({"test_id": 0}, "test_id"),
        ({"test_id": "7; rm -rf /"}, "test_id"),
        ({"attempt": 1.5}, "attempt"),
        ({"callback": "ftp://refstack.example"}, "not an http or https URL"),
        ({"callback": "file:///etc/passwd"}, "not an http or https URL"),
        ({"callback": "https://user:word@refstack.example"}, "user or password"),
        ({"callback": "https://refstack.example/?next=x"}, "no query"),
        ({"callback": "https://refstack.example:99999"}, "callback"),
        ({"callback": "https://refstack.example\\evil.example"}, "printable ASCII"),
        ({"tempest_version": "47.0.0; touch /tmp/x"}, "not an exact version"),
        ({"tempest_version": "$(id)"}, "not an exact version"),
        ({"tempest_version": "../../etc"}, "not an exact version"),
        ({"tempest_version": ">=47"}, "not an exact version"),
        ({"tempest_version": "v47.0.0"}, "write 'v47.0.0' as 47.0.0"),
        ({"openstack_release": "2025.1"}, "exactly one of"),
        ({"tempest_version": None}, "exactly one of"),
        ({"plugins": {"--index-url": "1.0"}}, "plugins"),
        ({"plugins": {"some-plugin": "latest"}}, "not an exact version"),
        ({"conf_json": {"identity": {"password": {"nested": 1}}}}, "must be text, a number"),
        ({"conf_json": {"DEFAULT": {"log_file": "/etc/passwd"}}}, "only the node may set this"),
        ({"conf_json": {"DEFAULT": {"log-file": "/etc/passwd"}}}, "only the node may set this"),
        ({"conf_json": {"oslo_concurrency": {"lock_path": "/"}}}, "only the node may set this"),
        ({"conf_json": {"identity": {"uri": "http://x\n[DEFAULT]\nlog_file=/x"}}}, "one line"),
        ({"conf_json": {"a]\n[b": {"c": "d"}}}, "section"),
        ({"conf_json": {"identity": {"a = b\nc": "d"}}}, "option"),
        ({"testcases": {}}, "testcases"),
        ({"testcases": {"names": ["--config-file=/etc/shadow"]}}, "not a test name"),
        ({"testcases": {"names": ["a\nb"]}}, "not a test name"),
        ({"testcases": {"regexes": ["("]}}, "testcases.regexes"),
        ({"testcases": {"regexes": ["a"] * 1001}}, "testcases.regexes"),
        ({"testcases": {"url": "gopher://x"}}, "not an http or https URL"),
        ({"testcases": {"url": ""}}, "testcases"),
        ({"concurrency": 65}, "concurrency"),
        ({"timeout": 5}, "timeout"),
        ({"submitted_at": "yesterday"}, "submitted_at"),
        ({"secret": "short"}, "secret"),
        ({"secret": "A" * 43 + "\n"}, "secret"),
        ({"tempest_version": None, "openstack_release": "2025.1\n"}, "openstack_release"),
        ({"secret": None}, "lacks secret"),
        ({"suprise": 1}, "unknown field suprise"),
    ],
)
def test_refused_with_the_field_named(payload: Payload, fields: dict[str, Any], said: str) -> None:
    assert said in refusal(changed(payload, **fields))


@pytest.mark.parametrize(
    "name", ["--help", "-c", "$(id)", "a;id", "a|id", "`id`", "a&b", "a\nb", "@/etc/passwd", "\x1b[2J"]
)
def test_a_name_that_is_an_option_or_a_shell_word_is_refused(payload: Payload, name: str) -> None:
    assert "not a test name" in refusal(changed(payload, testcases={"names": [name]}))


def test_a_message_never_holds_the_value(payload: Payload) -> None:
    said = refusal(changed(payload, conf_json={"identity": {"password": {"deep": "s3cr3t-of-the-cloud"}}}))
    assert "s3cr3t" not in said


def test_fifty_megabytes_of_conf_are_refused_before_they_are_parsed(payload: Payload) -> None:
    data = changed(payload, conf_json={"identity": {"password": "x" * 50_000_000}})
    assert "more than the 1048576 allowed" in refusal(data)


def test_duplicate_keys_are_refused(payload: Payload) -> None:
    data = payload.to_bytes().replace(b'{"attempt":1', b'{"attempt":2,"attempt":1')
    assert "'attempt' is given twice" in refusal(data)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"not json", b"{", b'{"version": NaN}', b"\xff", b'"\\ud800"'])
def test_what_is_no_object(data: bytes) -> None:
    assert refusal(data).startswith("payload: ")


def test_a_number_that_becomes_an_infinity_is_refused(payload: Payload) -> None:
    data = payload.to_bytes().replace(b'"conf_json":{', b'"conf_json":{"volume":{"build_timeout":1e999},')
    assert "the number 1e999 is too large" in refusal(data)


def test_a_release_in_place_of_a_version(payload: Payload) -> None:
    made = Payload.from_bytes(changed(payload, tempest_version=None, openstack_release="2025.1"))
    assert (made.tempest_version, made.openstack_release) == ("", "2025.1")


def test_only_the_secret_of_the_attempt_proves_it() -> None:
    secret = payloads.new_secret()
    digest = payloads.secret_digest(secret)
    assert payloads.proves(secret, digest)
    assert not payloads.proves(payloads.new_secret(), digest)
    assert not payloads.proves("", digest)
    assert secret not in digest


def test_two_servers_of_one_node_use_different_prefixes_in_the_cloud(payload: Payload) -> None:
    other = replace(payload, callback="https://staging.example.org")
    assert payload.prefix != other.prefix
    assert payload.prefix == replace(payload, callback=payload.callback + "/").prefix
    assert payload.prefix_of(payload.attempt) == payload.prefix


def test_sealing_compiles_no_expression_again(payload: Payload, monkeypatch: pytest.MonkeyPatch) -> None:
    assert payload.testcases and payload.testcases.regexes

    def compiled(_testcases: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(payloads, "check_testcases", compiled)
    assert payload.to_bytes()


def test_what_finds_options_is_in_the_payload_only_if_asked_for(payload: Payload) -> None:
    """A worker that does not know the field yet takes all other runs."""
    assert "discover" not in payload.to_json()
    asks = replace(payload, discover="tempestconf")
    assert Payload.from_bytes(asks.to_bytes()) == asks
    with pytest.raises(PayloadError, match="discover"):
        Payload.from_json({**payload.to_json(), "discover": "guess"})
