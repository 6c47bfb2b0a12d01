"""What is a mistake in a rule? A sentence and the path of the place it is about, collected with all others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")

WHOLE = "_schema"
"""The key under which a mistake about a whole object stands, where its parts have mistakes too."""


MOST_UNKNOWN = 20
"""So many unknown keys of one object are named; whoever sends more learns of the rest later."""


class RuleErrors(ValueError):
    """All mistakes of one document; `errors` is nested by path: `{"audience": {"all": {"1": {"op": ["…"]}}}}`."""

    def __init__(self, errors: dict[str, Any]) -> None:
        super().__init__("; ".join(f"{path}: {text}" for path, text in _flat(errors)))
        self.errors = errors


class Mistakes:
    """Collects the mistakes found while one document is read.

    `segments` are those that it may refer to, as the name of each by its id; None where they are not known here, and
    every reference is taken as it is. `stages` are those of the site; None: the built-in ones. `referred` are the
    references that were read, each with its places. `lenient`: it was taken before, so that only what cannot run is
    one, not what merely is of no use.
    """

    def __init__(
        self,
        segments: Mapping[str, str] | None = None,
        *,
        lenient: bool = False,
        stages: Sequence[str] | None = None,
    ) -> None:
        self.lenient = lenient
        self.stages = stages
        self.errors: dict[str, Any] = {}
        self.total = 0
        self.segments = segments
        self.referred: dict[str, list[tuple[str | int, ...]]] = {}

    def add(self, path: Sequence[str | int], sentence: str) -> None:
        """Note a mistake at `path` (empty: about the whole document)."""
        self.total += 1
        node = self.errors
        for key in map(str, path[:-1]):
            below = node.setdefault(key, {})
            if isinstance(below, list):
                below = node[key] = {WHOLE: below}
            node = below
        leaf = node.setdefault(str(path[-1]) if path else WHOLE, [])
        if isinstance(leaf, dict):
            leaf = leaf.setdefault(WHOLE, [])
        leaf.append(sentence)

    def attempt(self, read: Callable[[Any], T], value: object, path: Sequence[str | int]) -> T | None:
        """Read a value; where that is a ValueError, note its sentence at `path` and give None."""
        try:
            return read(value)
        except ValueError as error:
            self.add(path, str(error))
            return None

    def segment(self, reference: object, path: Sequence[str | int]) -> tuple[str, str] | None:
        """Read a reference to a segment, by its id or its name, as (id, name); None where it noted a mistake."""
        if not isinstance(reference, str) or not reference:
            self.add(path, "Expected the id or the name of a segment.")
            return None
        self.referred.setdefault(reference, []).append(tuple(path))
        if self.segments is None:
            return reference, ""
        if reference in self.segments:
            return reference, self.segments[reference]
        for segment_id, name in self.segments.items():
            if name == reference:
                return segment_id, name
        self.add(path, f"There is no segment {quoted(reference)}.{nearest(reference, self.segments.values())}")
        return None

    def known_keys(self, doc: Mapping[Any, Any], known: Iterable[str], path: Sequence[str | int]) -> bool:
        """Note every key that has no meaning here, with the nearest that has; True where there is none."""
        names = set(known)
        unknown = [key for key in doc if key not in names]
        for key in unknown[:MOST_UNKNOWN]:
            self.add((*path, str(key)[:100]), f"Unknown key {quoted(key)}.{nearest(key, names)}")
        return not unknown

    def __bool__(self) -> bool:
        return bool(self.errors)

    def raise_if_any(self) -> None:
        """Raise everything collected as one RuleErrors; do nothing where there is nothing."""
        if self.errors:
            raise RuleErrors(self.errors)


def nearest(name: object, known: Iterable[str]) -> str:
    """` Did you mean "eq"?` with the known name most like this one, or nothing where none is."""
    if not isinstance(name, str):
        return ""
    close = get_close_matches(name[:100].lower(), sorted(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""


def quoted(name: object) -> str:
    """A name as it is shown in a sentence: in quotes, and cut where it is absurdly long."""
    text = name if isinstance(name, str) else repr(name)
    return f'"{text[:100]}…"' if len(text) > 100 else f'"{text}"'


def _flat(errors: dict[str, Any], path: str = "") -> Iterable[tuple[str, str]]:
    for key, below in errors.items():
        here = f"{path}.{key}" if path else key
        if isinstance(below, dict):
            yield from _flat(below, here)
        else:
            for text in below:
                yield here, text
