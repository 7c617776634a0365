"""Stands in for LVM and iSCSI: Cinder's own fake driver, which also takes images and gives them back."""

from __future__ import annotations

import io
from typing import Any

from cinder.tests import fake_driver

CONTENT = b"volume" * 1024


class Driver(fake_driver.FakeLoggingVolumeDriver):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # the scheduler compares it with the volume type's
        self.backend_name = self.configuration.volume_backend_name

    def copy_image_to_volume(
        self, context: Any, volume: Any, image_service: Any, image_id: str, disable_sparse: bool = False
    ) -> None:
        """There is nowhere to write the image to."""

    def copy_volume_to_image(self, context: Any, volume: Any, image_service: Any, image_meta: Any) -> None:
        """Upload a few bytes, for an image without data never becomes active."""
        image_service.update(context, image_meta["id"], {}, io.BytesIO(CONTENT))

    def extend_volume(self, volume: Any, new_size: int) -> None:
        """A volume without content has any size."""

    def revert_to_snapshot(self, context: Any, volume: Any, snapshot: Any) -> None:
        """A volume without content equals all its snapshots."""
