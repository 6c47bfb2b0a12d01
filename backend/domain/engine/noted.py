"""What happened to an enrolment, written into its notes."""

from datetime import datetime

from backend.domain.enrolment import Enrolment, Note

MOST_NOTES = 200


def noted(
    enrolment: Enrolment, at: datetime, step: str, result: str, reason: str | None = None, detail: str | None = None
) -> Enrolment:
    """The enrolment with one more note; a rule of one message needs none but for what made it wait."""
    note = Note(at=at, step=step, result=result, reason=reason, detail=detail)
    return enrolment.but(notes=(*enrolment.notes, note)[-MOST_NOTES:])
