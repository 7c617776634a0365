"""Whether Glance checks that an image's content has the format that it is declared with.

Glance does so from 2025.1 on unless configured otherwise; no call shows it. Tempest's tests upload random bytes: where
the content is checked they have to be skipped (``image-feature-enabled.image_format_enforcement``), and where it is not
they must not be, since guidelines require them. So a small image of random bytes is uploaded, and removed again.
"""

from __future__ import annotations

import contextlib
import secrets

from refstack_worker.contract.cloud_needs import Need
from refstack_worker.execute_test.cloud.findings import CloudFindings
from refstack_worker.execute_test.cloud.service_api import ServiceApi
from refstack_worker.execute_test.failures import CloudFailure
from refstack_worker.execute_test.http import Denied

OPTION = ("image-feature-enabled", "image_format_enforcement")
CONTENT_BYTES = 1024
SKIPPED_WITH = (
    "image: the cloud checks the format of uploaded images (Glance's image_format settings); Tempest skips tests "
    "that upload other content, including some that guidelines require"
)


def find_format_enforcement(api: ServiceApi, findings: CloudFindings, prefix: str) -> None:
    """Choose the option by uploading an image; without the right to do so Tempest's default stays.

    :param prefix: start of the image's name, so that a stopped run's clean-up finds it.
    """
    if findings.is_given(*OPTION):
        return
    images = f"{api.versioned('v2')}/images"
    body = {"name": f"{prefix or 'refstack'}-format-probe", "disk_format": "qcow2", "container_format": "bare"}
    try:
        image = api.send("POST", images, body)
    except Denied:
        return
    if not isinstance(image, dict) or "id" not in image:
        return
    url = f"{images}/{image['id']}"
    try:
        is_enforced = _is_refused(api, url)
    finally:
        with contextlib.suppress(Denied, CloudFailure):
            api.send("DELETE", url)
    findings.choose(*OPTION, is_enforced)
    if is_enforced:
        findings.lacks(Need.IMAGE_FORMAT, SKIPPED_WITH)


def _is_refused(api: ServiceApi, url: str) -> bool:
    try:
        api.send("PUT", f"{url}/file", secrets.token_bytes(CONTENT_BYTES), "application/octet-stream")
    except Denied as error:
        return error.status in (400, 415)
    image = api.get(url)
    return isinstance(image, dict) and image.get("status") in ("killed", "deleted")
