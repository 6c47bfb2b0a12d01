"""The verb `advance`: one visitor through a stretch of time, live and simulated alike."""

from backend.domain.engine.anew import rebuild, restaged, without_history
from backend.domain.engine.joined import MERGED, superfluous
from backend.domain.engine.membership import SIGNALS
from backend.domain.engine.reentry import denial_of
from backend.domain.engine.result import Advance, Collision, Denial, PastNeeded, Staged, VersionNeeded
from backend.domain.engine.ruleset import Ruleset
from backend.domain.engine.segments import Segments
from backend.domain.engine.walk import advance

__all__ = [
    "MERGED",
    "SIGNALS",
    "Advance",
    "Collision",
    "Denial",
    "PastNeeded",
    "Ruleset",
    "Segments",
    "Staged",
    "VersionNeeded",
    "advance",
    "denial_of",
    "rebuild",
    "restaged",
    "superfluous",
    "without_history",
]
