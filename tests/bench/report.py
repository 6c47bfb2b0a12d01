"""One line of the benchmark's report."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A figure and its baseline, both in `unit`; `wanted` is what their ratio should be."""

    name: str
    figure: float
    unit: str
    baseline_name: str
    baseline: float | None
    wanted: str
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """The figure divided by its baseline."""
        return self.figure / self.baseline if self.baseline else None


def table(lines: Iterable[Line]) -> str:
    """The lines as a table in plain text."""
    head = ("what", "measured", "baseline", "ratio", "wanted", "remark")
    rows = [head]
    for line in lines:
        baseline = "" if line.baseline is None else f"{line.baseline_name}: {_number(line.baseline)}"
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        rows.append((line.name, f"{_number(line.figure)} {line.unit}", baseline, ratio, line.wanted, line.remark))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _number(value: float) -> str:
    """With as many decimals as tell something."""
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.3g}"
