"""The moments at which a run against a whole cloud is cut short, and the ways to do it."""

from __future__ import annotations

from dataclasses import dataclass

Census = dict[str, list[str]]
"""Kind to what there is of it."""

TESTS = (
    "tempest.api.compute.servers.test_server_actions.ServerActionsTestJSON",
    "tempest.api.compute.servers.test_servers.ServersTestJSON",
    "tempest.api.compute.volumes.test_attach_volume.AttachVolumeTestJSON",
    "tempest.api.volume.test_volumes_snapshots.VolumesSnapshotTestJSON",
    "tempest.api.volume.test_volumes_list.VolumesListTestJSON",
    "tempest.api.network.test_floating_ips.FloatingIPTestJSON",
    "tempest.api.network.test_routers.RoutersTest",
    "tempest.api.image.v2.test_images.ListUserImagesTest",
    "tempest.api.object_storage.test_container_services.ContainerTest",
)
"""Something of every kind, for two minutes or more on two cores."""

CANCEL = "cancel"
TIME_LIMIT = "time-limit"
KILL = "kill"
KILL_CLEANUP = "kill-cleanup"


@dataclass(frozen=True)
class Moment:
    """When a run is cut short, and how."""

    name: str
    how: str
    """:data:`CANCEL`, :data:`TIME_LIMIT`, :data:`KILL` of the worker, or :data:`KILL_CLEANUP` after a cancel."""
    kinds: tuple[str, ...]
    """Of these kinds of the census there is something of the run at that moment."""

    def has_come(self, added: Census) -> bool:
        """Whether what is in the cloud more than before shows that it is time."""
        return all(added.get(kind) for kind in self.kinds)


MOMENTS = (
    Moment("cancel-servers", CANCEL, ("servers", "projects")),
    Moment("time-limit", TIME_LIMIT, ("projects",)),
    Moment("kill-first-project", KILL, ("projects",)),
    Moment("kill-servers", KILL, ("servers",)),
    Moment("kill-volumes", KILL, ("volumes",)),
    Moment("kill-routers", KILL, ("routers", "floatingips")),
    Moment("kill-cleanup", KILL_CLEANUP, ("servers",)),
)

SMALL_TESTS = (
    "tempest.api.object_storage.test_container_services.ContainerTest",
    "tempest.api.object_storage.test_object_services.ObjectTest",
)
SMALL_MOMENTS = (
    Moment("cancel", CANCEL, ("projects", "containers")),
    Moment("kill-first-project", KILL, ("projects",)),
    Moment("kill-containers", KILL, ("projects", "containers")),
    Moment("kill-cleanup", KILL_CLEANUP, ("projects",)),
)
"""For the small cloud, which has Keystone and Swift alone."""
