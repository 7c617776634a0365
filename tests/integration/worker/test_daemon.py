"""The daemon on a real queue, from the job to a clean node: each way in which a run may go."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from refstack_worker.contract import envelope as sealing
from refstack_worker.contract import gearman_functions, keys
from tests.integration.worker.conftest import VERSION, Node
from tests.support.node_states import FUNCTION, node_section, running
from tests.support.processes import Gearmand, eventually
from tests.support.wheel_files import make_version


def test_an_unknown_setting_ends_the_start_and_names_the_line(node: Node) -> None:
    node.configure(node={**node_section(node), "slot": 3})
    done = node.command("run")
    assert done.returncode == 3
    line = next(number for number, text in enumerate(node.config.read_text().splitlines(), 1) if "slot" in text)
    assert f"{node.config}:{line}: node.slot is not a setting" in done.stderr


def test_a_second_worker_on_the_same_folder_is_refused(node: Node) -> None:
    node.start()
    done = node.command("run")
    assert done.returncode == 3 and "in use by another worker" in done.stderr


def test_a_resting_slot_wakes_when_the_missing_package_arrives(node: Node) -> None:
    node.start()
    lock = make_version(node.folder / "locks", "46.4.0")
    function = gearman_functions.for_version("46.4.0")
    eventually("it is offered", lambda: function in node.ask()["functions"])
    saved = lock.read_bytes()
    lock.write_bytes(saved.replace(b"shared_one-1.0", b"shared_no-1.0"))
    attempt = node.submit(95, "pass", tempest_version="46.4.0")
    eventually("the slot rests", lambda: "pauses for" in node.log())
    lock.write_bytes(saved)
    again = node.submit(95, "pass", attempt=2, tempest_version="46.4.0")
    eventually("it goes on", lambda: again.results or attempt.results)


def test_a_reload_with_a_wrong_file_keeps_the_old_settings(node: Node) -> None:
    node.start()
    before = node.config.read_text()
    node.config.write_text(before + "\n[nonsense]\nx = 1\n")
    check = node.command("config", "check")
    assert check.returncode == 3 and "nonsense" in check.stderr
    os.kill(node.programs[0].pid, signal.SIGHUP)
    eventually("it is refused", lambda: "the old settings and keys stay in effect" in node.log())
    attempt = node.submit(96, "pass")
    eventually("the result is there", lambda: attempt.results)


def test_a_reload_notices_new_keys(node: Node) -> None:
    node.start()
    keys.generate_pair("seal", node.folder / "fleet.key", node.folder / "fleet.pub")
    assert node.command("config", "check").returncode == 0
    os.kill(node.programs[0].pid, signal.SIGHUP)
    # systemd is not here to start it again, so it only says what to do
    eventually("it is logged", lambda: "the keys changed; restart the worker" in node.log())


def test_gearmand_going_and_coming_back_is_in_the_log(node: Node, gearmand: Gearmand) -> None:
    node.start()
    server = f"gearman server 127.0.0.1:{node.port}"
    eventually("it is connected", lambda: f"{server}: connected" in node.log())
    gearmand.kill()
    try:
        eventually("it is missed", lambda: f"{server}: not connected; this node gets no runs from it" in node.log())
    finally:
        gearmand.start()
    eventually("it is back", lambda: node.log().count(f"{server}: connected") == 2)


def test_a_disk_without_room_takes_no_run_and_says_so(node: Node) -> None:
    program = node.start(limits={"min_free_mb": 10**7})
    attempt = node.submit(92, "pass")
    status = node.ask()
    assert not status["accepting"] and "MiB free, limits.min_free_mb is 10000000; free up space" in status["problem"]
    assert "takes no runs" in program.text()
    assert node.command("health").returncode == 1
    assert not attempt.claims and node.queue_status()[FUNCTION][0] == 1
    program.end()
    node.start()
    eventually("another node, or this one later, does it", lambda: attempt.results)


def test_a_version_that_is_installed_or_removed_shows_without_a_restart(node: Node) -> None:
    node.start()
    more = gearman_functions.for_version("46.3.0")
    assert more not in node.ask()["functions"]
    lock = make_version(node.folder / "locks", "46.3.0")
    eventually("it is offered", lambda: node.queue_status().get(more, (0, 0, 0))[2] == 1)
    attempt = node.submit(93, "pass", tempest_version="46.3.0")
    eventually("it runs", lambda: attempt.results)
    lock.unlink()
    eventually("it is gone", lambda: node.queue_status()[more][2] == 0)
    assert node.queue_status()[FUNCTION][2] == 1


def test_a_version_that_is_removed_while_a_run_goes_on_does_not_disturb_it(node: Node) -> None:
    node.start()
    attempt = node.submit(94, "wait")
    running(node, attempt)
    lock = next((node.folder / "locks" / VERSION).glob("pylock*"))
    text = lock.read_text()
    lock.unlink()
    eventually("it is noticed", lambda: node.ask()["functions"] == [])
    assert node.queue_status()[FUNCTION] == (1, 1, 1), "unregistering now would give the job to another"
    Path(f"{node.mark}.go").touch()
    eventually("the result is there", lambda: attempt.results)
    eventually("the function goes afterwards", lambda: node.queue_status()[FUNCTION][2] == 0)
    lock.write_text(text)
    assert attempt.claims == 1


def test_tags_and_releases_are_functions_too(node: Node) -> None:
    node.start(node={**node_section(node), "tags": ["eu"]})
    wanted = {FUNCTION, f"{FUNCTION}:eu", "refstack:openstack:2026.1", "refstack:openstack:2026.1:eu"}
    assert wanted == set(node.ask()["functions"])
    attempt = node.submit(
        95, "pass", function="refstack:openstack:2026.1:eu", tempest_version="", openstack_release="2026.1"
    )
    eventually("the result is there", lambda: attempt.results)


def test_what_the_node_says_of_itself_can_only_be_read_by_the_server(node: Node) -> None:
    node.start()
    eventually("it spoke", lambda: node.server.nodes)
    from refstack_worker.contract import keys

    said = sealing.open_node_message(
        node.server.nodes[0],
        keys.load_sign_private(node.folder / "sign.key"),
        keys.load_seal_public(node.folder / "fleet.pub"),
    )
    assert b'"versions": ["47.0.0"]' in said and b'"state": "ready"' in said
    node.command("pause")
    eventually("the pause is reported", lambda: len(node.server.nodes) > 1)


def test_a_run_finds_a_node_whose_large_lock_has_its_plugins_and_more(node: Node) -> None:
    plugins = {f"plugin{number}-tempest-plugin": "1.0" for number in range(7)}
    table = ", ".join(f'"{name}" = "{number}"' for name, number in plugins.items())
    make_version(node.folder / "locks", "43.0.0", refstack=f"plugins = {{ {table} }}")
    three = dict(list(plugins.items())[:3])
    function = gearman_functions.for_version("43.0.0", plugins=three)
    node.server.node_reply = {"seconds": 1}
    node.start()
    attempt = node.submit(97, "pass", function=function, tempest_version="43.0.0", plugins=three)
    eventually("the server knows its plugins", lambda: gearman_functions.served("43.0.0", plugins) in reported(node))
    assert function not in node.ask()["functions"]
    node.server.node_reply = {"seconds": 1, "wanted_plugins": [three]}
    eventually("the result is there", lambda: attempt.results)
    node.server.node_reply = {"seconds": 1}
    eventually("the function goes when no run asks for it", lambda: node.queue_status()[function][2] == 0)


def reported(node: Node) -> list[str]:
    """Return the versions with plugins that the node named to the server."""
    files = keys.load_sign_private(node.folder / "sign.key"), keys.load_seal_public(node.folder / "fleet.pub")
    messages = [json.loads(sealing.open_node_message(said, *files)) for said in node.server.nodes]
    return [word for message in messages for word in message["plugin_sets"]]
