"""Rules in files: reading one file or a directory of them, finding the line of a mistake, writing them out."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.domain.rule.exchange import slug
from backend.domain.segment_exchange import is_segment
from backend.errors import ChimeinError, Malformed, NotFound
from backend.schemas.rule_yaml import dump_rule, dump_rules
from backend.schemas.yaml_text import Written, read_yaml

SUFFIXES = (".yaml", ".yml", ".json")
WAYS = ("key", "id", "name", "segment")
"""By what a file is found again in which a rule, or a segment, stands."""

KINDS = {"segments": "segment", "rules": "name"}
"""What stands in files, and the key that names one."""

SEGMENTS = "segments"
"""The folder into which segments are written that stood nowhere before."""

MOST_FILES = 5_000


@dataclass(frozen=True, slots=True)
class Filed:
    """A rule and the file that it stands in."""

    file: str
    written: Written

    @property
    def document(self) -> Any:
        """What is written there."""
        return self.written.value


def read_files(paths: Sequence[str]) -> list[Filed]:
    """The rules of these files and directories, in order of the files' names; `-` is what comes in.

    Malformed, naming the file, where one cannot be read.
    """
    found = [filed for path in paths for file in _files(path) for filed in _read(file)]
    if not found:
        raise NotFound(f"There is no rule in {', '.join(paths)}.")
    return found


def _files(path: str) -> Iterator[str]:
    if path == "-":
        yield path
        return
    here = Path(path)
    if not here.is_dir():
        yield path
        return
    files = sorted(each for each in here.rglob("*") if each.suffix in SUFFIXES and each.is_file())
    if len(files) > MOST_FILES:
        raise Malformed(f"{path} holds more than {MOST_FILES} files.")
    yield from map(str, files)


def _read(file: str) -> list[Filed]:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        documents = read_yaml(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Malformed(f"{file}: is not UTF-8.") from None
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror or error}.") from None
    except ChimeinError as error:
        raise Malformed(f"{file}: {error.message}") from None
    return [Filed(file, each) for each in documents]


@dataclass(frozen=True, slots=True)
class Found:
    """One mistake and its place."""

    file: str
    line: int
    rule: str
    path: str
    sentence: str


def mistakes_in(filed: Sequence[Filed], errors: Mapping[str, Any]) -> list[Found]:
    """The mistakes of an import, each with file, line, rule (or segment) and path."""
    found = []
    for kind, naming in KINDS.items():
        noted, own = errors.get(kind), of_kind(filed, kind)
        for index, below in noted.items() if isinstance(noted, Mapping) else ():
            if not str(index).isdecimal() or int(index) >= len(own):
                continue
            each = own[int(index)]
            named = each.document.get(naming) if isinstance(each.document, Mapping) else None
            for path, sentence in _leaves(below):
                # What the API calls the name of a segment stands in files at `segment`.
                path = (naming, *path[1:]) if path[:1] == ("name",) else path
                line = each.written.line(_path_in(each.document, path))
                called = str(named or f"{kind[:-1]} {int(index) + 1}")
                found.append(Found(each.file, line, called, ".".join(path), sentence))
    return sorted(found, key=lambda mistake: (mistake.file, mistake.line))


def of_kind(filed: Sequence[Filed], kind: str) -> list[Filed]:
    """Of what stands in files the `rules`, or the `segments`."""
    return [each for each in filed if is_segment(each.document) is (kind == "segments")]


def _leaves(errors: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(errors, Mapping):
        for key, below in errors.items():
            yield from _leaves(below, path if key == "_schema" else (*path, str(key)))
    elif isinstance(errors, list):
        for sentence in errors:
            yield path, str(sentence)


def _path_in(document: Any, path: Sequence[str]) -> tuple[str | int, ...]:
    """The path with numbers where the document has lists."""
    found: list[str | int] = []
    for part in path:
        place: str | int = int(part) if isinstance(document, list) and part.isdecimal() else part
        found.append(place)
        try:
            document = document[place]
        except (KeyError, IndexError, TypeError):
            document = None
    return tuple(found)


def write_file(path: Path, rules: Sequence[dict[str, Any]]) -> None:
    """All rules into one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump_rules(list(rules)), encoding="utf-8")


def write_directory(folder: Path, rules: Sequence[dict[str, Any]]) -> tuple[list[Path], list[Path]]:
    """One file a rule; the files written, and those of other rules that lay there before and were left alone.

    A rule goes into the file in which it stood before, whatever that is called.
    """
    folder.mkdir(parents=True, exist_ok=True)
    homes = _homes(folder)
    taken = set(homes.values())
    written: list[Path] = []
    for rule in rules:
        known = (homes.get((way, str(rule[way]))) for way in WAYS if rule.get(way) is not None)
        path = next((home for home in known if home is not None and home not in written), None)
        path = path or _free(folder / SEGMENTS if is_segment(rule) else folder, slug(rule), taken)
        taken.add(path)
        path.parent.mkdir(exist_ok=True)
        path.write_text(dump_rule(rule), encoding="utf-8")
        written.append(path)
    return written, sorted(set(homes.values()) - set(written))


def _homes(folder: Path) -> dict[tuple[str, str], Path]:
    """Where rules stand already, by their keys, ids and names; files of several rules are nobody's home."""
    homes: dict[tuple[str, str], Path] = {}
    for file in _files(str(folder)):
        documents = [filed.document for filed in _read(file)]
        if len(documents) == 1 and isinstance(documents[0], dict) and not file.endswith(".json"):
            for way in WAYS:
                if documents[0].get(way) is not None:
                    homes[way, str(documents[0][way])] = Path(file)
    return homes


def _free(folder: Path, name: str, taken: set[Path]) -> Path:
    names = (f"{name}.yaml" if number == 1 else f"{name}-{number}.yaml" for number in range(1, MOST_FILES))
    return next(path for each in names if (path := folder / each) not in taken and not path.exists())
