"""How a mail that has only HTML is read: as the text that its reader would see, without what it quotes.

The standard library's parser takes minutes for some broken pages; this reader goes through the text once.
"""

import re
from html import unescape

LONGEST = 300_000
"""Characters of HTML that are looked at."""

_HIDDEN = frozenset({"head", "title", "template", "noscript", "object", "svg", "math"})
_RAW = frozenset({"script", "style", "textarea", "xmp"})
"""Elements in which nothing is a tag."""

_BLOCKS = frozenset(
    {"p", "div", "br", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "pre", "section"}
)
_EMPTY = frozenset({"br", "hr", "img", "meta", "link", "input", "area", "base", "col", "embed", "source", "wbr"})
_QUOTES = re.compile(r"\b(?:gmail_quote|yahoo_quoted|moz-cite-prefix|divRplyFwdMsg|appendonsend|protonmail_quote)\b")
_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9:]{0,30})")
_NAMED = re.compile(r"\b(?:class|id)\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)", re.IGNORECASE)
_OPEN_AT_ONCE = 50
"""So far up an end tag looks for its beginning."""


def text_of_html(html: str) -> str:
    """The text of a page of HTML, however broken."""
    reader = _Reader()
    reader.read(html[:LONGEST])
    lines = (" ".join(line.split()) for line in "".join(reader.told).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Reader:
    def __init__(self) -> None:
        self.told: list[str] = []
        self._open: list[tuple[str, bool]] = []
        """The elements that are open, and whether each hides what is in it."""

        self._hiding = 0

    def read(self, html: str) -> None:
        """Goes through the page once: `end` is the next `>`, looked for again only when it is passed."""
        lower = html.lower()
        at, end = 0, -1
        while at < len(html):
            begin = html.find("<", at)
            if begin < 0:
                self._text(html[at:])
                return
            self._text(html[at:begin])
            if html.startswith("<!--", begin):
                closed = html.find("-->", begin + 4)
                if closed < 0:
                    return
                at = closed + 3
                continue
            if end <= begin:
                end = html.find(">", begin)
                if end < 0:  # no tag follows any more
                    self._text(html[begin:].partition("<!--")[0])
                    return
            another = html.find("<", begin + 1)
            if 0 <= another < end:
                self._text(html[begin:another])
                at = another
                continue
            name = self._tag(html[begin + 1 : end])
            at = end + 1
            if name in _RAW:
                at = lower.find(f"</{name}", at)
                if at < 0:
                    return

    def _tag(self, told: str) -> str:
        """Opens or closes an element; its name where it was opened."""
        found = _NAME.match(told)
        if found is None:
            if not told.startswith(("!", "?", "/")):
                self._text(f"<{told}>")
            return ""
        name = found[1].lower()
        if name in _BLOCKS and not self._hiding:
            self.told.append("\n")
        if told.startswith("/"):
            self._close(name)
            return ""
        if name not in _EMPTY and name not in _RAW and not told.endswith("/"):
            names = " ".join(_NAMED.findall(told[:2_000]))
            hides = name in _HIDDEN or (name == "blockquote" and self._answers()) or bool(_QUOTES.search(names))
            self._open.append((name, hides))
            self._hiding += hides
        return name

    def _answers(self) -> bool:
        """Whether anything was said before: a mail that begins with a quote goes on with its answer."""
        return any(each.strip() for each in self.told[-1_000:])

    def _close(self, name: str) -> None:
        for at in range(len(self._open) - 1, max(-1, len(self._open) - _OPEN_AT_ONCE), -1):
            if self._open[at][0] == name:
                self._hiding -= sum(hides for _, hides in self._open[at:])
                del self._open[at:]
                return

    def _text(self, text: str) -> None:
        """Text, as its reader sees it: line ends in it are spaces."""
        if text and not self._hiding:
            plain = unescape(text)
            self.told.append(plain if any(name == "pre" for name, _ in self._open[-5:]) else re.sub(r"\s+", " ", plain))
