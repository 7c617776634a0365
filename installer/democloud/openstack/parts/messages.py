"""RabbitMQ and memcached of a whole cloud, on ports of their own: several clouds can run side by side."""

from __future__ import annotations

import glob
from pathlib import Path

from democloud import memcached, ports
from democloud.openstack.runtime import Runtime
from democloud.openstack.shape import Site
from democloud.ports import CloudError

READY_SECONDS = 120.0
ERLANG = "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none"


def start(site: Site, runtime: Runtime) -> None:
    """Start both; RabbitMQ is ready after :func:`await_ready`."""
    memcached.start(site.ports["memcached"], runtime.services)
    epmd = {"ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(site.ports["epmd"])}
    runtime.services.start("epmd", ["epmd", "-port", str(site.ports["epmd"])], epmd)
    runtime.services.start("rabbitmq", [_server()], {**epmd, **_environment(site)})


def await_ready(site: Site, runtime: Runtime) -> None:
    """Return when RabbitMQ accepts connections."""

    def listens() -> bool:
        runtime.services.check("rabbitmq")
        return ports.listening(site.ports["messages"])

    ports.wait(listens, "RabbitMQ to start", READY_SECONDS)


def _environment(site: Site) -> dict[str, str]:
    home = site.folder / "rabbitmq"
    home.mkdir(exist_ok=True)
    settings = home / "rabbitmq.conf"
    settings.touch(mode=0o600)
    settings.write_text(f"default_user = openstack\ndefault_pass = {site.passwords['messages']}\n")
    return {
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"cloud{site.ports['messages']}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(site.ports["messages"]),
        "RABBITMQ_DIST_PORT": str(site.ports["messages-nodes"]),
        "RABBITMQ_MNESIA_BASE": f"{home}/nodes",
        "RABBITMQ_LOG_BASE": f"{home}/log",
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": f"{home}/pid",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
    }


def _server() -> Path:
    # the one in /usr/sbin refuses to run as any account but its own
    found = sorted(glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
    if not found:
        raise CloudError("RabbitMQ is not installed; install it with: apt-get install rabbitmq-server")
    return Path(found[-1])
