"""Stands in for libvirt: Nova's own fake driver, which also resizes on its only host and uploads its snapshots.

nova-compute finds it as ``nova.virt.hypervisor``; see ``nova_compute.py``.
"""

from __future__ import annotations

import io
from typing import Any

from nova.image import glance
from nova.virt import fake

SNAPSHOT = b"snapshot" * 1024


class Driver(fake.FakeDriverWithoutFakeNodes):
    """Keeps its servers in memory."""

    capabilities = dict(fake.FakeDriver.capabilities, supports_migrate_to_same_host=True, supports_bfv_rescue=True)

    def snapshot(self, context: Any, instance: Any, image_id: str, update_task_state: Any) -> None:
        """Upload a few bytes, for an image without data never becomes active."""
        super().snapshot(context, instance, image_id, update_task_state)
        images = glance.API()
        name = images.get(context, image_id)["name"]
        data = {"name": name, "disk_format": "raw", "container_format": "bare"}
        images.update(context, image_id, data, data=io.BytesIO(SNAPSHOT))
