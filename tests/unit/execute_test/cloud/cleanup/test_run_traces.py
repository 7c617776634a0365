"""What a log shows of a run."""

from __future__ import annotations

from pathlib import Path

from refstack_worker.execute_test.cloud.cleanup.run_traces import RunTraces


def test_traces_of_a_run_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "tempest.log"
    project, user, reader, domain, owner = (letter * 32 for letter in "abdef")
    put = f"204 PUT http://k/v3/projects/{project}/users/{user}/roles/{'c' * 32}"
    log.write_text(
        "INFO x Request (AccountTest:setUpClass): 201 POST http://k/v3/projects 0.02s\n"
        f"INFO x Request (AccountTest:setUpClass): {put} 0s\n"
        "INFO x Request (RolesTest:setUpClass): 201 POST http://k/v3/users 0.02s\n"
        f"INFO x Request (RolesTest:setUpClass): 204 PUT http://k/v3/system/users/{reader}/roles/{'c' * 32} 0s\n"
        f"INFO x Request (RolesTest:setUpClass): 204 PUT http://k/v3/domains/{domain}/users/{owner}/roles/{'c' * 32}\n"
    )
    traces = RunTraces.read([tmp_path / "absent.log", log])
    assert (traces.projects, traces.domains) == ({project}, {domain})
    assert (traces.users, traces.classes) == ({user, reader, owner}, {"AccountTest", "RolesTest"})


def test_what_others_wrote_into_the_cloud_is_no_trace(tmp_path: Path) -> None:
    log = tmp_path / "tempest.log"
    credentials = f"PUT http://k/v3/projects/{'a' * 32}/users/{'b' * 32}/roles/{'c' * 32}"
    floating = f"DELETE http://n/v2.0/floatingips/{'1' * 36}"
    forged = f"Request (AccountTest:setUpClass): 204 {credentials} 0s; 201 POST http://k/v3/projects ; {floating}"
    log.write_text(
        "DEBUG x Request - Headers: {}\n        Body: None\n    Response - Headers: {'status': '200'}\n"
        f'        Body: b\'{{"servers": [{{"name": "{forged}"}}]}}\'\n'
        f"DEBUG x Request - Headers: {{'X-Container-Meta-A': '{forged}'}}\n"
    )
    assert RunTraces.read([log]) == RunTraces(set(), set(), set(), set(), set())
