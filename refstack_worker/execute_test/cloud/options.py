"""Finds the options of ``tempest.conf`` that a person would look up in the cloud, service by service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from refstack_worker.contract.cloud_needs import AREAS_OF_SERVICE, NEED_OF_PLUGIN, NEED_OF_SERVICE, Need, is_asked_for
from refstack_worker.contract.keystone_address import shown_malformed
from refstack_worker.execute_test.cloud.catalog import (
    doubtful,
    endpoint_of,
    is_address,
    offered_types,
    other_regions,
    own_region,
    regions_of,
    service_endpoint,
    why_not_offered,
)
from refstack_worker.execute_test.cloud.compute import find_compute, set_flavors, usable_flavors
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.image import Image, find_images
from refstack_worker.execute_test.cloud.image_format import find_format_enforcement
from refstack_worker.execute_test.cloud.keystone import Keystone, KeystoneToken, sensible_answers
from refstack_worker.execute_test.cloud.network import find_network
from refstack_worker.execute_test.cloud.object_features import find_object_storage
from refstack_worker.execute_test.cloud.quotas import Quotas
from refstack_worker.execute_test.cloud.service_api import ServiceApi
from refstack_worker.execute_test.cloud.service_types import (
    ALL_SECTIONS,
    PLUGIN_TYPES,
    SECTIONS,
    SERVICE_TYPES,
    WITHOUT_REGION,
)
from refstack_worker.execute_test.cloud.validation import find_validation
from refstack_worker.execute_test.cloud.volume import find_catalog_type, find_volume
from refstack_worker.execute_test.failures import CloudFailure


class OptionFinder:
    """Looks into one cloud as one user, and only at the services that its catalogue has in the region."""

    def __init__(
        self, keystone: Keystone, token: KeystoneToken, region: str, is_admin: bool, *, changes_nothing: bool = False
    ) -> None:
        """
        :param changes_nothing: nothing is made in the cloud, and no server is tried by SSH: not from the node.
        """
        self._keystone, self._token = keystone, token
        self._region, self._is_admin = region, is_admin
        self._changes_nothing = changes_nothing
        self._silent: set[str] = set()
        """Services that did not respond; each is waited for once."""

    @sensible_answers()
    def find(
        self, given: Mapping[str, Mapping[str, Any]], prefix: str = "", tests: Sequence[str] = ()
    ) -> CloudFindings:
        """Return what was found. A service that does not respond is a gap, not an error.

        :param prefix: start of the names of what is made, and removed, in the cloud on the way.
        :param tests: what the run selects; the service of a Tempest plugin is a gap only for the plugin's tests.
        """
        findings = CloudFindings(given)
        self._report_region(findings)
        self._look_for_services(findings)
        self._look_for_plugin_services(findings, tests)
        self._choose_types(findings)
        flavors = self._ask("nova", findings, usable_flavors)
        sizes = set_flavors(findings, flavors or ())
        image = self._ask("glance", findings, lambda api: find_images(api, findings, sizes))
        if not self._changes_nothing:
            self._ask("glance", findings, lambda api: find_format_enforcement(api, findings, prefix))
        self._ask("nova", findings, lambda api: find_compute(api, findings, flavors, image, self._is_admin))
        network = self._api("neutron")
        self._ask("neutron", findings, lambda api: find_network(api, findings, self._token.project_id, self._is_admin))
        find_catalog_type(offered_types(self._token, "cinder", self._region), findings)
        self._ask("cinder", findings, lambda api: find_volume(api, findings, self._is_admin))
        self._choose_plugin_types(findings)
        self._ask("swift", findings, lambda api: find_object_storage(api, findings))
        if self._api("nova") and not self._changes_nothing:
            self._validate(None if "neutron" in self._silent else network, findings, image)
        self._ask_quotas(findings)
        return findings

    def _report_region(self, findings: CloudFindings) -> None:
        regions = regions_of(self._token)
        if len(regions) > 1 and not findings.is_given("identity", "region"):
            findings.choices.append(f"region: {self._region}, of {', '.join(regions)} (identity.region)")

    def _choose_types(self, findings: CloudFindings) -> None:
        """Choose the service types that are not the ones by which Tempest looks."""
        for name in ("nova", "glance", "neutron", "swift"):
            kinds = offered_types(self._token, name, self._region)
            usual = SERVICE_TYPES[name][0]
            if kinds and kinds[0] != usual:
                findings.choose(SECTIONS[name], "catalog_type", kinds[0], f"{usual}: service type {kinds[0]}")

    def _choose_plugin_types(self, findings: CloudFindings) -> None:
        for section, kinds in PLUGIN_TYPES.items():
            kind = next((kind for kind in kinds if endpoint_of(self._token, (kind,), self._region)), "")
            if kind:
                findings.choose(section, "catalog_type", kind, f"{section}: service type {kind}")

    def _ask_quotas(self, findings: CloudFindings) -> None:
        quotas = Quotas(self._is_admin, self._token.project_id)
        self._ask("nova", findings, quotas.ask_nova)
        self._ask("cinder", findings, quotas.ask_cinder)
        self._ask("neutron", findings, quotas.ask_neutron)
        quotas.report(findings)

    def _look_for_services(self, findings: CloudFindings) -> None:
        missing = [name for name in SERVICE_TYPES if self._api(name) is None]
        for name in missing:
            findings.lacks(NEED_OF_SERVICE[name], self._missing(name))
        for name, kinds in SERVICE_TYPES.items():
            api = self._api(name)
            if api is not None and (why := doubtful(name, api.endpoint)):
                findings.lacks(Need.OTHER, f"{kinds[0]}: {why}", AREAS_OF_SERVICE[name])
        if "neutron" in missing and "nova" not in missing and not self._is_listed("neutron"):
            text = "network: without a network service, no server can be created; such tests are left out"
            findings.lacks(Need.SERVER_NETWORK, text)
        if "glance" in missing and "cinder" not in missing:
            text = "image: without an image service, Tempest cannot set up some classes for volumes; they are left out"
            findings.lacks(Need.IMAGE_CLIENT, text)
        if "glance" in missing and "nova" not in missing and not findings.is_given("compute", "image_ref"):
            findings.lacks(
                Need.IMAGE,
                "image: without an image service, there are no images for servers; tests that create servers are "
                "left out. Set compute.image_ref",
            )

    def _is_listed(self, name: str) -> bool:
        """Return whether the catalogue lists a service that Tempest does not find there."""
        return bool(why_not_offered(self._token, name, self._region))

    def _where_else(self, name: str) -> str:
        """Return the region that lacks a service, those that have it, and the options that lead there."""
        own = own_region(self._token, name)
        region = own or self._region
        where = f" in the region {region}" if region else ""
        if where and (others := other_regions(self._token, name, region)):
            option = f"{ALL_SECTIONS[name]}.region"
            both = "identity.region" if name == WITHOUT_REGION else f"identity.region, or {option} alone"
            where += f", but in {', '.join(others)[:200]} ({option if own else both})"
        return where

    def _look_for_plugin_services(self, findings: CloudFindings, tests: Sequence[str]) -> None:
        for name, need in NEED_OF_PLUGIN.items():
            kinds = self._token.types[name]
            url = endpoint_of(self._token, kinds, self._region)
            if url and not is_address(url):
                why = f"its address in the catalogue, {shown_malformed(url)[:200]!r}, is not a valid URL"
                findings.lacks(Need.OTHER, f"{kinds[0]}: {why}; its tests are skipped")
            elif not url and is_asked_for(need, tests) and not findings.is_given("service_available", name):
                findings.lacks(need, self._missing(name))

    def _missing(self, name: str) -> str:
        """Return the sentence about a service that Tempest does not find."""
        why = why_not_offered(self._token, name, self._region)
        why = why or f"the cloud's catalogue has no such service{self._where_else(name)}"
        return f"{self._token.types[name][0]}: {why}; its tests are skipped"

    def _validate(self, network: ServiceApi | None, findings: CloudFindings, image: Image | None) -> None:
        try:
            with sensible_answers():
                find_validation(network, findings, image)
        except CloudFailure:
            find_validation(None, findings, image)

    def _ask(self, name: str, findings: CloudFindings, question: Any) -> Any:
        api = self._api(name)
        if api is None or name in self._silent:
            return None
        try:
            with sensible_answers():
                return question(api)
        except CloudFailure as error:
            self._silent.add(name)
            text = f"{SERVICE_TYPES[name][0]}: {error}; its tests will fail"
            findings.lacks(Need.OTHER, text, AREAS_OF_SERVICE[name])
            return None

    def _api(self, name: str) -> ServiceApi | None:
        endpoint = service_endpoint(self._token, name, self._region)
        return ServiceApi(self._keystone, self._token, endpoint) if endpoint else None
