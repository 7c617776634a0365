"""Options that would make a node write, read or execute what a vendor chose."""

from __future__ import annotations

import pytest

from refstack_worker.contract import tempest_options
from refstack_worker.errors import PayloadError


@pytest.mark.parametrize(
    ("section", "option"),
    [
        ("auth", "test_accounts_file"),
        ("DEFAULT", "log_config_append"),
        ("DEFAULT", "log_file"),
        ("DEFAULT", "lock_path"),
        ("oslo_concurrency", "lock_path"),
        ("oslo_concurrency", "disable_process_locking"),
        ("identity", "ca_certificates_file"),
        ("service-clients", "proxy_url"),
        ("image", "images_manifest_file"),
        ("scenario", "img_file"),
        ("load_balancer", "test_server_path"),
        ("any_plugin", "helper_command"),
        ("any_plugin", "key_dir"),
        ("any_plugin", "cafile"),
        ("any_plugin", "certfile"),
        ("any_plugin", "keyfile"),
        ("any_plugin", "workdir"),
        ("heat_plugin", "boot_config_env"),
        ("whitebox", "nodes_yaml"),
        ("whitebox", "ctlplane_ssh_private_key"),
        ("any_plugin", "admin_cacert"),
        ("any_plugin", "kubeconfig"),
        ("service_clients", "proxy_url"),
    ],
)
@pytest.mark.parametrize("spell", [str, str.upper, str.title], ids=["plain", "upper", "title"])
def test_a_place_on_the_node_cannot_be_set_however_it_is_spelt(section: str, option: str, spell: type[str]) -> None:
    # oslo.config reads [Auth] as [auth], and so the check has to; another reader may do so with options
    for name in (option, option.replace("_", "-"), spell(option)):
        with pytest.raises(PayloadError, match="only the node may set this"):
            tempest_options.check({spell(section): {name: "/etc/passwd"}})


def test_an_option_under_its_former_name_is_refused_too() -> None:
    with pytest.raises(PayloadError, match="only the node may set this"):
        tempest_options.check({"scenario": {"qcow2_img_file": "/etc/shadow"}})


@pytest.mark.parametrize("section", ["cli", "CLI", "stress", "boto", "config_driver", "Oslo_Reports"])
def test_sections_that_execute_are_refused_as_a_whole(section: str) -> None:
    with pytest.raises(PayloadError, match="is not allowed"):
        tempest_options.check({section: {"x": "y"}})


@pytest.mark.parametrize("value", ["a\n[auth]\ntest_accounts_file = /etc/passwd", "a\rb", "a\0b", ["x", "a\nb"]])
def test_a_value_cannot_begin_a_line_of_its_own(value: object) -> None:
    with pytest.raises(PayloadError, match="one line"):
        tempest_options.check({"identity": {"region": value}})


@pytest.mark.parametrize("name", ["a b", "a]\n[auth", "a=b", "", "-x", "[x", "#x", "é"])
def test_a_name_cannot_break_out_of_its_line(name: str) -> None:
    for conf in ({name: {"a": "b"}}, {"identity": {name: "b"}}):
        with pytest.raises(PayloadError, match="is not allowed"):
            tempest_options.check(conf)


def test_what_a_vendor_does_set() -> None:
    tempest_options.check(
        {
            "identity": {"uri_v3": "https://cloud.example/v3", "region": "one", "auth_version": "v3"},
            "auth": {"admin_username": "a", "admin_password": "$b", "use_dynamic_credentials": True},
            "compute": {"image_ref": "x", "flavor_ref": "y"},
            "validation": {"image_ssh_user": "cirros", "network_for_ssh": "public"},
            "scenario": {"target_dir": "/tmp"},
            "DEFAULT": {"debug": True, "default_log_levels": ["a=b"]},
        }
    )


@pytest.mark.parametrize(
    "options",
    [
        {f"key_{number}": f"value-{number}" for number in range(101)},
        {"token": "x" * 40_000},
        {"keys": ["a" * 20_000, "b" * 20_000]},
    ],
    ids=["many", "long", "long-list"],
)
def test_secrets_that_would_cost_too_much_to_mask(options: dict[str, object]) -> None:
    with pytest.raises(PayloadError, match="at most 100 values"):
        tempest_options.check({"a_plugin": options})


def test_the_same_secret_many_times_is_one() -> None:
    tempest_options.check({"a_plugin": {f"key_{number}": "the same" for number in range(500)}})
