"""Finds the options of ``tempest.conf`` that a person would look up in the cloud, service by service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refstack_worker.execute_test.cloud.catalog import SERVICE_TYPES, public_endpoint
from refstack_worker.execute_test.cloud.compute import find_compute
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.image import Image, find_images
from refstack_worker.execute_test.cloud.image_format import find_format_enforcement
from refstack_worker.execute_test.cloud.keystone import Keystone, KeystoneToken
from refstack_worker.execute_test.cloud.network import find_network
from refstack_worker.execute_test.cloud.object_features import find_object_storage
from refstack_worker.execute_test.cloud.service_api import ServiceApi
from refstack_worker.execute_test.cloud.validation import find_validation
from refstack_worker.execute_test.cloud.volume import find_catalog_type, find_volume
from refstack_worker.execute_test.failures import CloudFailure


class OptionFinder:
    """Looks into one cloud as one user, and only at the services that its catalogue has in the region."""

    def __init__(self, keystone: Keystone, token: KeystoneToken, region: str, is_admin: bool) -> None:
        self._keystone, self._token = keystone, token
        self._region, self._is_admin = region, is_admin

    def find(self, given: Mapping[str, Mapping[str, Any]], prefix: str = "") -> CloudFindings:
        """Return what was found. A service that does not respond is a gap, not an error.

        :param prefix: start of the names of what is made, and removed, in the cloud on the way.
        """
        findings = CloudFindings(given)
        image = self._ask("glance", findings, lambda api: find_images(api, findings))
        self._ask("glance", findings, lambda api: find_format_enforcement(api, findings, prefix))
        self._ask("nova", findings, lambda api: find_compute(api, findings, image, self._is_admin))
        network = self._api("neutron")
        self._ask("neutron", findings, lambda api: find_network(api, findings, self._token.project_id, self._is_admin))
        if self._api("cinder"):
            find_catalog_type(self._types_of("cinder"), findings)
        self._ask("cinder", findings, lambda api: find_volume(api, findings, self._is_admin))
        self._ask("swift", findings, lambda api: find_object_storage(api, findings))
        if self._api("nova"):
            self._validate(network, findings, image)
        return findings

    def _validate(self, network: ServiceApi | None, findings: CloudFindings, image: Image | None) -> None:
        try:
            find_validation(network, findings, image)
        except CloudFailure:
            find_validation(None, findings, image)

    def _ask(self, name: str, findings: CloudFindings, question: Any) -> Any:
        api = self._api(name, findings)
        if api is None:
            return None
        try:
            return question(api)
        except CloudFailure as error:
            findings.gaps.append(f"{SERVICE_TYPES[name][0]}: {error}; its tests will fail")
            return None

    def _api(self, name: str, findings: CloudFindings | None = None) -> ServiceApi | None:
        kinds: tuple[str, ...] = SERVICE_TYPES[name]
        given = findings.value("volume", "catalog_type") if findings is not None and name == "cinder" else None
        endpoint = public_endpoint(self._token, (str(given),) if given else kinds, self._region)
        return ServiceApi(self._keystone, self._token, endpoint) if endpoint else None

    def _types_of(self, name: str) -> set[str]:
        return {kind for kind in SERVICE_TYPES[name] if public_endpoint(self._token, (kind,), self._region)}
