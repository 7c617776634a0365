"""The tempest.conf of an expert and the one of a vendor."""

from __future__ import annotations

from democloud.openstack import ini, tempest_conf
from democloud.openstack.contents import Contents

from tests.unit.installer.democloud.openstack.sites import site

CONTENTS = Contents(("image-1", "image-2"), "public-1")


def test_all_that_is_there_is_named() -> None:
    conf = tempest_conf.whole(site(), CONTENTS)
    assert conf["compute"]["image_ref"] == "image-1" and conf["compute"]["image_ref_alt"] == "image-2"
    assert conf["network"]["public_network_id"] == "public-1"
    assert conf["validation"]["run_validation"] is True
    assert all(conf["service_available"].values())


def test_what_is_missing_is_not_asked_for() -> None:
    bare = site(services=("identity", "network", "volume"), public_network=False, catalog_volume=("block-storage",))
    conf = tempest_conf.whole(bare, Contents())
    available = conf["service_available"]
    assert {name for name, there in available.items() if there} == {"neutron", "cinder"}
    assert "compute" not in conf and conf["network"] == {} and conf["validation"] == {"run_validation": False}
    assert conf["volume"]["catalog_type"] == "block-storage"


def test_a_vendor_gives_address_administrator_and_ca() -> None:
    conf = tempest_conf.vendor(site(tls=True))
    assert set(conf) == {"auth", "identity"}
    assert conf["identity"]["ca_certificates_file"] == "/cloud/tls/ca.pem"
    assert "ca_certificates_file" not in tempest_conf.vendor(site())["identity"]


def test_text_is_what_oslo_config_reads() -> None:
    text = ini.text({"a": {"yes": True, "several": ["b", "c"], "number": 3}, "empty": {}})
    assert text == "[a]\nyes = true\nseveral = b,c\nnumber = 3\n"
