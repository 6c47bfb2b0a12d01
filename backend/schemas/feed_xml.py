"""Google's product feeds as XML, RSS 2.0 or Atom, an item at a time: no entities, no document types."""

from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat

from backend.schemas.feed_names import COLUMNS

GOOGLE = "http://base.google.com/ns/1.0"
ATOM = "http://www.w3.org/2005/Atom"
PLAIN = frozenset({"title", "link", "id", "price"})
"""What also stands in an item without Google's namespace, and means the same."""

LONGEST_ROW = 128 * 1024
LONGEST_VALUE = 8 * 1024
DEEPEST = 32
PIECE = 64 * 1024
LONGEST_TAG = 2**20
ITEMS = frozenset({"item", f"{ATOM} entry", "entry"})


class FeedError(ValueError):
    """Nothing further can be read of a file; the text is a sentence."""


def items_of(file: BinaryIO) -> Iterator[tuple[int, dict[str, str]]]:
    """Each item as (the line on which it begins, its values by what they mean); FeedError where it is no such XML."""
    reader = _Reader()
    fed, last = 0, False
    while not last:
        piece = file.read(PIECE)
        last = not piece
        fed += len(piece)
        wrong: FeedError | None = None
        try:
            reader.feed(piece, last, fed)
        except FeedError as error:
            wrong = error
        yield from reader.done  # what came before a mistake counts
        reader.done.clear()
        if wrong is not None:
            raise wrong
    if not reader.seen:
        raise FeedError("The XML holds no product: expected items of RSS 2.0, or entries of Atom.")


class _Reader:
    """What expat calls. `done` are the items that are complete."""

    def __init__(self) -> None:
        self.done: list[tuple[int, dict[str, str]]] = []
        self.seen = False
        self._depth = 0
        self._item: tuple[int, int] | None = None
        self._values: dict[str, tuple[bool, str]] = {}
        self._meaning: tuple[str, bool] | None = None
        self._text: list[str] = []
        self._size = 0
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse
        self._parser = parser

    def feed(self, piece: bytes, last: bool, fed: int) -> None:
        """Reads one more piece; `fed` is how much that is in all."""
        try:
            self._parser.Parse(piece, last)
        except expat.ExpatError as error:
            what = expat.errors.messages.get(error.code, "syntax error")
            raise FeedError(f"It is not well-formed XML: {what} in line {error.lineno}.") from None
        except (UnicodeError, LookupError):
            raise FeedError("The XML is in an encoding that is not known here: write UTF-8.") from None
        if fed - self._parser.CurrentByteIndex > LONGEST_TAG:
            raise FeedError(f"A tag of the XML is longer than {LONGEST_TAG // 1024} kB.")

    def _refuse(self, *_args: object) -> int:
        line = self._parser.CurrentLineNumber
        raise FeedError(f"The XML declares a document type or an entity in line {line}: neither is read.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise FeedError("The XML nests too deep.")
        if self._item is None:
            if name in ITEMS:
                self._item = (self._depth, self._parser.CurrentLineNumber)
                self._values, self._size = {}, 0
                self.seen = True
        elif self._depth == self._item[0] + 1:
            self._text = []
            self._meaning = _meaning(name)
            href = attributes.get("href")
            if href is not None and self._meaning is not None and attributes.get("rel", "alternate") == "alternate":
                self._text.append(href[:LONGEST_VALUE])

    def _characters(self, text: str) -> None:
        if self._item is None or self._meaning is None or self._depth != self._item[0] + 1:
            return
        self._size += len(text)
        if self._size <= LONGEST_ROW:
            self._text.append(text)

    def _end(self, _name: str) -> None:
        item = self._item
        if item is not None and self._depth == item[0] + 1 and self._meaning is not None:
            meaning, googles = self._meaning
            value = "".join(self._text).strip()[:LONGEST_VALUE]
            if value and (googles or meaning not in self._values):
                known = self._values.get(meaning)
                if known is None or not known[0]:
                    self._values[meaning] = (googles, value)
            self._meaning = None
        elif item is not None and self._depth == item[0]:
            self.done.append((item[1], {name: value for name, (_, value) in self._values.items()}))
            self._item = None
        self._depth -= 1


def _meaning(name: str) -> tuple[str, bool] | None:
    """What an element of an item means, and whether Google's namespace says so, which goes before."""
    space, _, bare = name.rpartition(" ")
    if space == GOOGLE:
        found = COLUMNS.get(bare.lower())
    elif space in ("", ATOM) and bare in PLAIN:
        found = COLUMNS.get(bare)
    else:
        found = None
    return None if found is None else (found, space == GOOGLE)
