"""Which events does the database refuse? Found by halving, each try rolled back."""

from collections.abc import Collection, Sequence
from datetime import datetime

from backend.pipeline.admit import Admission
from backend.pipeline.apply import apply
from backend.pipeline.arrive import Arrived
from backend.pipeline.batch import Poisoned
from backend.pipeline.rulesets import Rulesets
from backend.runtime import Runtime
from backend.storage.database import is_poison


def culprits(
    rt: Runtime, rulesets: Rulesets, arrived: Sequence[Arrived], excluded: Collection[int], now: datetime
) -> dict[int, str]:
    """The events of a batch without which the rest would be taken, by index, with the database's own words."""
    found: dict[int, str] = {}
    todo = [[index for index in range(len(arrived)) if index not in excluded]]
    while todo:
        group = todo.pop()
        reason = _refused(rt, rulesets, [arrived[index] for index in group], now)
        if reason is None:
            continue
        if len(group) == 1:
            found[group[0]] = reason
        else:
            half = len(group) // 2
            todo.extend((group[:half], group[half:]))
    return found


def _refused(rt: Runtime, rulesets: Rulesets, group: Sequence[Arrived], now: datetime) -> str | None:
    try:
        with rt.db.begin() as connection:
            apply(connection, rulesets.of, group, (), until=now, now=now, admission=Admission(rt.sites.vault))
            raise _Undo
    except (_Undo, Poisoned):
        return None
    except Exception as error:
        if not is_poison(error):
            raise
        return f"{type(error).__name__}: {str(error)[:300]}"


class _Undo(Exception):
    """Rolls a trial back."""
