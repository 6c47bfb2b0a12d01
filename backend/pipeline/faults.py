"""Where tests kill a process: a named point ends it at once when `CHIMEIN_CRASH_AT` says so."""

import os

VARIABLE = "CHIMEIN_CRASH_AT"

_passed: dict[str, int] = {}


def point(name: str) -> None:
    """Dies here, as by kill -9, when `CHIMEIN_CRASH_AT` is `name`, or `name:N` and this is the Nth time."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    at, _, times = wanted.partition(":")
    if at != name:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] >= int(times or 1):
        os._exit(137)
