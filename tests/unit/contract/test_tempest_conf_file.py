from __future__ import annotations

import pytest

from refstack_worker.contract.tempest_conf_file import is_set_by_execute_test, read_tempest_conf
from refstack_worker.contract.tempest_options import is_the_nodes

SAMPLE = """\ufeff
[DEFAULT]
debug = true\r
log_dir = /var/log/tempest
log_file = t.log
\t# indented remark
[auth]
test_accounts_file = etc/accounts.yaml
use_dynamic_credentials = False
[identity]
uri_v3: https://cloud.example:5000/v3
uri = ${uri_v3}/x
password = 'pa$$wd # not a remark'
admin_role =
; remark
[compute-feature-enabled]
api_extensions = a,
    b
[oslo_concurrency]
lock_path = /tmp
"""


def test_what_stands_there_and_what_is_left_out() -> None:
    read = read_tempest_conf(SAMPLE, is_set_by_execute_test)
    assert read.conf == {
        "DEFAULT": {"debug": "true"},
        "auth": {"use_dynamic_credentials": "False"},
        "identity": {
            "uri_v3": "https://cloud.example:5000/v3", "uri": "https://cloud.example:5000/v3/x",
            "password": "pa$wd # not a remark",
        },
        "compute-feature-enabled": {"api_extensions": "a,b"},
    }  # fmt: skip
    assert read.left_out == ("DEFAULT.log_dir", "DEFAULT.log_file", "oslo_concurrency.lock_path")
    assert read.accounts_file == "etc/accounts.yaml"
    assert read.remark.endswith("DEFAULT.log_dir, DEFAULT.log_file, oslo_concurrency.lock_path")


def test_a_node_leaves_out_more_and_the_accounts_file_never() -> None:
    read = read_tempest_conf("[identity]\nca_certificates_file = /ca\n[auth]\ntest_accounts_file = a\n", is_the_nodes)
    assert (read.conf, read.left_out, read.accounts_file) == ({}, ("identity.ca_certificates_file",), "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[auth\nx = 1", "line 1: not the name of a section"),
        ("[]", "line 1"),
        ("[auth]\nmy-secret-word", "line 2: a line 'option = value'"),
        ("[auth]\n  my-secret-word", "line 2: it is indented"),
        ("= 1", "line 1"),
    ],
)
def test_a_line_that_is_not_of_this_format(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        read_tempest_conf(text, is_the_nodes)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("a$$b", "a$b"), (r"a\$b", "a$b"), ("$other", "o"), ("${auth.other}", "o"), ("$auth.other/x", "o/x"),
     ("$none", "$none"), ("$loop", "$loop"),
     ('"quoted "', "quoted "), ("x=y:z", "x=y:z"),
     *[(f"p{letter}w", f"p{letter}w") for letter in "\x0b\x0c\x85\u2028\u2029"]],
)  # fmt: skip
def test_values_are_read_as_oslo_config_reads_them(written: str, meant: str) -> None:
    text = f"[auth]\nother = o\nloop = $loop\nvalue = {written}\n"
    assert read_tempest_conf(text, is_the_nodes).conf["auth"]["value"] == meant


def test_sections_that_differ_in_case_are_one() -> None:
    text = (
        "[Identity]\nuri_v3 = http://k\n[auth]\nadmin_username = a\nadmin_password = one\n"
        "[Auth]\nadmin_password = ${Identity.uri_v3}/$admin_username\n"
        "[Object-Storage]\nregion = R\n[default]\ndebug = 1\n"
    )
    assert read_tempest_conf(text, is_set_by_execute_test).conf == {
        "DEFAULT": {"debug": "1"},
        "identity": {"uri_v3": "http://k"},
        "auth": {"admin_username": "a", "admin_password": "http://k/a"},
        "object-storage": {"region": "R"},
    }
    assert read_tempest_conf("[Auth]\ntest_accounts_file = b\n", is_the_nodes).accounts_file == "b"
