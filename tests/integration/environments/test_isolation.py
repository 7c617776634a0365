"""What a run writes stays in its environment. Tried as runs are in production: as a user who does not own the store."""

from __future__ import annotations

import os
import pwd
import subprocess

import pytest

from refstack_worker.config.environments import EnvironmentSettings
from refstack_worker.environments.catalogue import Catalogue, Want
from refstack_worker.environments.environment import Environment
from refstack_worker.environments.store.verify import Store
from tests.support.tempests import locked

ATTACK = """
import os, sys, sysconfig
if os.geteuid() == 0:
    sys.exit("as root this proves nothing")
site = sysconfig.get_path("purelib")
done, refused = [], []
def attempt(what, do):
    try:
        do()
        done.append(what)
    except OSError as error:
        refused.append(what)
target = os.path.join(site, "tempest", "version.py")
folder = os.path.join(site, "tempest")
script = os.path.join(sys.prefix, "bin", "tempest")
def overwrite():
    with open(target, "a") as stream: stream.write("raise SystemExit('vandalised')")
attempt("chmod", lambda: os.chmod(target, 0o666))
attempt("chmod folder", lambda: os.chmod(folder, 0o777))
attempt("overwrite", overwrite)
attempt("remove", lambda: os.unlink(target))
attempt("add", lambda: open(os.path.join(folder, "new.py"), "w").close())
attempt("truncate", lambda: os.truncate(target, 0))
attempt("byte-code", lambda: open(os.path.join(folder, "__pycache__", "x.pyc"), "w").close())
attempt("rename", lambda: os.rename(folder, folder + ".old"))
attempt("hard link", lambda: os.link(target, os.path.join(sys.argv[1], "mine.py")))
attempt("script", lambda: open(script, "a").close())
print(",".join(done))
print(",".join(refused))
"""


@pytest.fixture
def nobody():
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    return pwd.getpwnam("nobody")


def test_a_run_cannot_reach_the_store(nobody, open_tmp):
    settings = EnvironmentSettings(open_tmp / "store", (locked("47.0.0"),))
    offer = Catalogue(settings).find(Want(version="47.0.0"))
    own = open_tmp / "own"
    own.mkdir()
    os.chown(own, nobody.pw_uid, nobody.pw_gid)
    with Environment(offer, settings, open_tmp / "env") as built:
        for parent, _, _ in os.walk(built.path):  # the worst case: the environment's folders are the run's own
            os.chown(parent, nobody.pw_uid, nobody.pw_gid)
        words = [built.python, "-c", ATTACK, own]
        said = subprocess.run(
            words, capture_output=True, text=True, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd="/"
        )
        assert said.returncode == 0, said.stderr
        done, refused = said.stdout.splitlines()
        assert set(refused.split(",")) >= {
            "chmod", "chmod folder", "overwrite", "remove", "add", "truncate", "byte-code", "hard link", "script",
        }  # fmt: skip
        assert done == "rename"  # of a link in a folder of its own
    assert Store(settings.store).verify() == []
    with Environment(offer, settings, open_tmp / "env") as built:
        said = subprocess.run([built.bin / "tempest", "--version"], capture_output=True, text=True, check=True)
        assert said.stdout == "tempest 47.0.0\n"


def test_an_unprivileged_run_lists_the_tests(nobody, open_tmp):
    settings = EnvironmentSettings(open_tmp / "store", (locked("47.0.0"),))
    offer = Catalogue(settings).find(Want(version="47.0.0"))
    home = open_tmp / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    before = os.umask(0o077)  # as the worker's unit has it
    try:
        with Environment(offer, settings, open_tmp / "env") as built:
            env = {"PATH": f"{built.bin}:/usr/bin:/bin", "HOME": str(home), "TMPDIR": str(home)}
            as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "env": env, "text": True}
            init = ["tempest", "init", "--workspace-path", f"{home}/w.yaml", f"{home}/ws"]
            subprocess.run(
                [f"{built.bin}/{init[0]}", *init[1:]], check=True, capture_output=True, cwd=home, **as_nobody
            )
            listed = subprocess.run(
                [f"{built.bin}/tempest", "run", "--list-tests"], capture_output=True, cwd=home / "ws", **as_nobody
            )
            assert listed.stdout.count("\ntempest.") > 1500, listed.stderr
    finally:
        os.umask(before)
