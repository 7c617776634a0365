"""Verdicts as a table of clouds, programs and guidelines."""

from __future__ import annotations

from refstack_worker.server.domain.links import CloudVerdict
from refstack_worker.server.services.matrix import SHOWN, matrix


def verdict(test_id: int, cloud: int, guideline: str, program: str = "Storage") -> CloudVerdict:
    return CloudVerdict(test_id, cloud, f"Cloud {cloud}", program, guideline, True, 1, 1, float(test_id))


def test_a_row_for_each_cloud_and_a_column_for_each_program_and_guideline() -> None:
    found = matrix([verdict(9, 2, "2025.06"), verdict(8, 1, "2026.06"), verdict(7, 1, "2025.06", "Compute")])
    assert found.columns == (("Compute", "2025.06"), ("Storage", "2026.06"), ("Storage", "2025.06"))
    assert [row.cloud for row in found.rows] == ["Cloud 1", "Cloud 2"]
    assert [[one.test_id for cell in row.cells for one in cell] for row in found.rows] == [[7, 8], [9]]


def test_a_cell_has_the_newest_few() -> None:
    found = matrix([verdict(number, 1, "2026.06") for number in range(20, 0, -1)])
    assert [one.test_id for one in found.rows[0].cells[0]] == list(range(20, 20 - SHOWN, -1))
