"""`make bench`: every figure that the project promises, beside its baseline, in one table.

`python -m tests.bench [NAME ...]` runs only those parts, by the names of their modules: see `PARTS`.
"""

import importlib
import os
import platform
import sys

from tests.bench.report import Line, table

PARTS = (
    *("collector", "process", "deciding", "many_rules", "timers", "simulation", "live", "conversation"),
    *("sdk_python", "scale"),
)


def main(names: list[str]) -> None:
    """Runs the parts and prints the table."""
    lines: list[Line] = []
    for name in names or list(PARTS):
        print(f"{name} …", file=sys.stderr, flush=True)
        lines.extend(importlib.import_module(f"tests.bench.{name}").run())
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; medians")
    print(table(lines))


main(sys.argv[1:])
