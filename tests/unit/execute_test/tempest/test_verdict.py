"""The verdict on a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from refstack_worker.contract.cloud_needs import Gap, Need
from refstack_worker.execute_test.failures import MachineFailure, TempestFailure
from refstack_worker.execute_test.tempest.counts import ProgressCounts
from refstack_worker.execute_test.tempest.verdict import judge
from tests.unit.execute_test.tempest.streams import taken, written
from tests.unit.execute_test.tempest.test_tempest_run import a_run


def test_what_was_listed_and_not_carried_out_is_told(tmp_path: Path) -> None:
    run = a_run(tmp_path / "tempest", tmp_path / "work")
    run.list_status, run.counter.seen = 0, 1
    run.counter.counts = ProgressCounts(total=2, done=1, passed=1)
    assert judge(run, []) == (0, "passed", "1 passed, 0 failed, 0 skipped, 1 not run")


def test_what_did_not_run_is_told_where_a_class_could_not_be_torn_down(tmp_path: Path) -> None:
    run = a_run(tmp_path / "tempest", tmp_path / "work")
    run.list_status, run.status = 0, 1
    run.counter.listed(("m.A.test_1", "m.A.test_2"))
    for test, status in (("m.A.test_1", "success"), ("tearDownClass (m.A)", "fail")):
        for packet in taken(written({"test_id": test, "test_status": status}))[1]:
            run.counter.packet(packet)
    assert judge(run, []).message == "1 passed, 1 failed, 0 skipped, 1 not run"


@pytest.mark.parametrize("ended", [0, 1], ids=["no test ran", "stopped early"])
def test_tempest_that_broke_on_a_full_disk_is_the_machines_fault(tmp_path: Path, ended: int) -> None:
    run = a_run(tmp_path / "tempest", tmp_path)
    run.status = 2
    run.counter.seen = ended
    run.take_text(b"--- Logging error ---\nOSError: [Errno 28] No space left on device\nArguments: ('a',)\n")
    run.take_text(b"x\n" * 40)
    with pytest.raises(MachineFailure, match="No space left on device: Tempest"):
        judge(run, [])
    run.disk_full = ""
    run.take_text(b"HTTP 507: No space left on device at the vendor's\n")
    with pytest.raises(TempestFailure):
        judge(run, [])


def test_failures_by_a_quota_are_said_to_be_so(tmp_path: Path) -> None:
    run = a_run(tmp_path / "tempest", tmp_path / "work")
    run.gaps = [Gap(Need.QUOTA, "quota: a project may have only 1 servers (tests need 3); tests fail")]
    said = b"Details: {'code': 403, 'message': 'Quota exceeded for instances: Requested 1'}"
    stream = written(
        {"test_id": "a.C.test_x", "file_name": "traceback", "file_bytes": said, "eof": True},
        {"test_id": "a.C.test_x", "test_status": "fail"},
        {"test_id": "a.C.test_y", "test_status": "fail"},
    )
    for packet in taken(stream)[1]:
        run.take_packet(packet)
    run.status = 1
    assert judge(run, []).message == (
        "0 passed, 2 failed, 0 skipped; 1 test or class failed because a quota of the cloud was exceeded: "
        "a project may have only 1 servers (tests need 3)"
    )
    run.counter.over_quota.clear()
    assert judge(run, []).message == "0 passed, 2 failed, 0 skipped"
