"""HTTPS for a cloud's public addresses: a private CA, one certificate, and HAProxy before the APIs."""

from __future__ import annotations

from pathlib import Path

from democloud.openstack.runtime import Runtime
from democloud.openstack.shape import PORTS, Site
from refstack_worker import process

DAYS = "30"
NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"

GENERAL = """\
global
    log stderr local0 notice
defaults
    mode http
    timeout connect 10s
    timeout client 300s
    timeout server 300s
"""
FRONT = """\
listen {service}
    bind 127.0.0.1:{port} ssl crt {folder}/server.pem
    http-request set-header X-Forwarded-Proto https
    server inner 127.0.0.1:{inner}
"""


def start(site: Site, runtime: Runtime) -> None:
    """Make the certificates and pass each public port on to its API."""
    folder = site.folder / "tls"
    folder.mkdir(mode=0o700)
    _make_certificates(folder)
    fronts = [
        FRONT.format(service=name, port=site.ports[f"{name}-tls"], inner=site.ports[name], folder=folder)
        for name in PORTS
    ]
    (folder / "haproxy.cfg").write_text(GENERAL + "".join(fronts))
    runtime.services.start("haproxy", ["haproxy", "-db", "-f", folder / "haproxy.cfg"], {})


def _make_certificates(folder: Path) -> None:
    key = ("-newkey", "rsa:2048", "-nodes", "-days", DAYS)
    ca = ("-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem")
    _openssl("req", "-x509", *key, *ca, "-subj", "/CN=private CA of a test cloud")
    server = ("-keyout", f"{folder}/server.key", "-out", f"{folder}/server.crt", "-subj", "/CN=localhost")
    signed = ("-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key")
    _openssl("req", "-x509", *key, *server, *signed, "-addext", NAMES, "-addext", "basicConstraints=CA:FALSE")
    both = folder / "server.pem"
    both.touch(mode=0o600)
    both.write_text((folder / "server.crt").read_text() + (folder / "server.key").read_text())


def _openssl(*words: str) -> None:
    process.run(["openssl", *words], process.Options(timeout=60))
