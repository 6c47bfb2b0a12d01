"""What is a session? A run of events with no gap of more than 30 minutes."""

from datetime import datetime, timedelta

GAP = timedelta(minutes=30)
KEPT = 10
"""Sessions whose span is remembered, so that a late event finds the one that it belongs to."""

Spans = tuple[tuple[datetime, datetime], ...]


def with_visit(count: int, spans: Spans, moment: datetime) -> tuple[int, Spans]:
    """The number of sessions and the latest spans, with one more event at `moment`."""
    if not spans:
        return count + 1, ((moment, moment),)
    start, end = spans[-1]
    if end <= moment <= end + GAP:
        return count, (*spans[:-1], (start, moment))
    if moment > end:
        return count + 1, (*spans, (moment, moment))[-KEPT:]
    forgotten = count > len(spans)
    if forgotten and moment < spans[0][0] - GAP:
        return count, spans  # it may belong to a session that is no longer remembered
    near = [span for span in spans if span[0] - GAP <= moment <= span[1] + GAP]
    joined = (min([moment, *(span[0] for span in near)]), max([moment, *(span[1] for span in near)]))
    apart = [span for span in spans if span not in near]
    return count + 1 - len(near), tuple(sorted([*apart, joined]))[-KEPT:]


def merged(count_a: int, a: Spans, count_b: int, b: Spans) -> tuple[int, Spans]:
    """The sessions of two profiles that turn out to be one person."""
    joined: list[tuple[datetime, datetime]] = []
    for start, end in sorted((*a, *b)):
        if joined and start <= joined[-1][1] + GAP:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    overlaps = len(a) + len(b) - len(joined)
    return count_a + count_b - overlaps, tuple(joined[-KEPT:])
