"""May a trigger begin another enrolment, after those that the visitor entered before?"""

from collections.abc import Iterable
from datetime import datetime

from backend.domain.enrolment import Enrolment
from backend.domain.rule import Reentry


def denial_of(reentry: Reentry, entered: Iterable[Enrolment], key: str, moment: datetime) -> str | None:
    """Why a trigger at `moment` starts no enrolment, after those that this visitor `entered`; None where it does."""
    earlier = [each for each in entered if each.key == key]
    if any(each.waiting for each in earlier):
        return "live"
    if not earlier:
        return None
    if reentry.policy != "every":
        return reentry.policy
    if reentry.at_most is None:
        return None
    since = moment - reentry.per if reentry.per is not None else None
    recent = [each for each in earlier if since is None or since < each.entered_at <= moment]
    return "at_most" if len(recent) >= reentry.at_most else None
