"""The most telling cells of the fault matrix (``python -m tests.system.faults`` does them all; ``docs/faults.md``)."""

from __future__ import annotations

import pytest

from tests.support.processes import TOP
from tests.system.faults.faults import FAULTS
from tests.system.faults.matrix import Matrix
from tests.system.faults.steps import STEPS

CELLS = (
    ("worker-kill", "running"),
    ("worker-stop", "posting"),
    ("power-off", "building"),
    ("gearmand-kill-builtin", "queued"),
    ("black-hole", "running"),
    ("api-garbage", "accepted"),
    ("postgresql-down", "running"),
    ("two-monitors", "claimed"),
)


@pytest.fixture(scope="module")
def outcomes(request):
    """Carry out the cells that were selected."""
    selected = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    faults = {fault.name: fault for fault in FAULTS}
    steps = {step.name: step for step in STEPS}
    cells = [item.callspec.params["cell"] for item in selected]
    done = Matrix([(faults[fault], steps[step]) for fault, step in cells], lanes=2, logs=None).carry_out()
    return {(outcome.fault, outcome.step): outcome for outcome in done}


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_run_outlives_the_fault(outcomes, cell):
    assert outcomes[cell].wrong == []


def test_every_fault_and_step_is_in_the_documentation():
    page = (TOP / "docs" / "faults.md").read_text()
    for word in (*FAULTS, *STEPS):
        assert f"| {word.name} |" in page
    assert "WRONG" not in page
