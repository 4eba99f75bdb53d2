"""Cells that tests of the report share with tests of the comparison."""

from tests.report.conftest import eight_cells

__all__ = ["eight_cells"]
