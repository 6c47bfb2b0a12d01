"""The verb `fold` for traits: what was told of a visitor, and operations on it, in whatever order they arrive."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from backend.domain.trait import LOGS_KEPT, RANK, Logs, Operation, TraitLog, fits, operations_of, with_operation

TRAIT_LIMIT = 250

State = dict[str, Any]
"""The fields of a working copy of a profile, by name."""


def fold_traits(state: State, said: Mapping[str, Any], moment: datetime, order: int) -> bool:
    """Takes in traits that were told, whenever that was; among them may stand operations: then it is true."""
    traits, times = dict(state["traits"]), dict(state["trait_times"])
    logs = state["trait_logs"]
    operated = False
    for key, value in said.items():
        if key in RANK:
            operated = True
            continue
        before = times.get(key)
        if before is None and len(times) >= TRAIT_LIMIT:
            continue
        if (value.__class__ is dict or value.__class__ is list) and not fits(value):
            continue
        if key in logs:
            logs = _operate(traits, times, logs, key, Operation(moment, order, "$set", value))
            continue
        if before is not None and moment < before:
            continue
        times[key] = moment
        if value is None:
            traits.pop(key, None)
        else:
            traits[key] = value
    state["traits"], state["trait_times"], state["trait_logs"] = traits, times, logs
    if operated:
        _fold_operations(state, said, moment, order)
    return operated


def _fold_operations(state: State, said: Mapping[str, Any], moment: datetime, order: int) -> None:
    """Operations on traits, whenever they arrive."""
    plain = said.get("$set")
    if isinstance(plain, dict):
        fold_traits(state, {key: value for key, value in plain.items() if key not in RANK}, moment, order)
    traits, times, logs = dict(state["traits"]), dict(state["trait_times"]), state["trait_logs"]
    for kind, key, value in operations_of(said):
        if kind == "$set" or (key not in times and len(times) >= TRAIT_LIMIT) or not fits(value):
            continue
        logs = _operate(traits, times, logs, key, Operation(moment, order, kind, value))
    state["traits"], state["trait_times"], state["trait_logs"] = traits, times, logs


def _operate(traits: State, times: State, logs: Logs, key: str, operation: Operation) -> Logs:
    """Applies one operation to a trait, in place; returns the logs as they are then."""
    log = logs.get(key) or TraitLog(traits.get(key), times.get(key))
    after = with_operation(log, operation)
    if after is log:
        return logs
    value = after.value
    if value is None:
        traits.pop(key, None)
    else:
        traits[key] = value
    times[key] = max(operation.at, times.get(key, operation.at))
    if after.plain:
        times[key] = after.base_at or times[key]
        return {name: each for name, each in logs.items() if name != key} if key in logs else logs
    return {**logs, key: after} if key in logs or len(logs) < LOGS_KEPT else logs
