"""How do I test a rule? Tell a story of what visitors do, and look at what would have been sent to whom, and when.

story = Story(["cart-left.yaml's text"], Local())
story.at("2026-03-01T10:00:00Z").track("ann", "Product Added", {"price": 120})
assert story.sent() == [Sent("ann", rule="Cart left", at="2026-03-01T10:30:00Z", channel="popup")]

The real engine answers: that of the package `chimein-server` where it is installed, else a server through its API.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

Call = dict[str, Any]

HORIZON = timedelta(days=90)
"""How long after the last event of a story everything that waits may still fire."""

PAGE = 200
_SPAN = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class RuleMistakes(ValueError):
    """A rule, or an event of the story, cannot work; the text names file, path and line."""


class NoEngine(RuntimeError):
    """Nobody is there who could answer; the text says what to do."""


@dataclass(frozen=True)
class Sent:
    """One message that would have been sent; `step`, `variant` and `content` tell more, and are not compared."""

    visitor: str
    rule: str
    at: Any
    channel: str
    step: str = field(default="", compare=False)
    variant: str = field(default="", compare=False)
    content: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", _moment(self.at))

    def __repr__(self) -> str:
        return f"Sent({self.visitor!r}, rule={self.rule!r}, at={_written(self.at)!r}, channel={self.channel!r})"


@dataclass(frozen=True)
class Outcome:
    """What became of one enrolment: `sent`, `skipped` for a reason, `pending`, `deferred` or `completed`."""

    visitor: str
    rule: str
    entered: datetime
    at: datetime
    outcome: str
    reason: str | None = None

    def __repr__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.visitor}: {self.rule}, entered {_written(self.entered)}: {self.outcome}{why} {_written(self.at)}"


class Sends(list[Sent]):
    """The messages of a story, in order of time; `outcomes` and `denied` tell why there are no others."""

    def __init__(self, sent: Sequence[Sent], outcomes: Sequence[Outcome], denied: Mapping[str, int]) -> None:
        super().__init__(sent)
        self.outcomes = list(outcomes)
        self.denied = dict(denied)


class Engine(Protocol):
    """Whoever runs the rules."""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to `POST simulations` with all its items; raises `Refused`."""


class Refused(Exception):
    """The engine's mistakes, nested by path."""

    def __init__(self, message: str, errors: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.errors = errors


class Local:
    """The engine of the package `chimein-server`, in this process; `site` holds what `PATCH sites` takes, and `id`."""

    def __init__(self, site: Mapping[str, Any] | None = None) -> None:
        self.site = dict(site or {})

    @staticmethod
    def is_there() -> bool:
        """Whether `chimein-server` is installed here."""
        try:
            metadata.distribution("chimein-server")
        except metadata.PackageNotFoundError:
            return False
        return True

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        from backend.pipeline.try_out import try_out

        try:
            return try_out(self.site, body["yaml"], body["events"], body["until"], holdout=body["holdout"])
        except Exception as error:
            # RuleErrors carries `errors`, marshmallow's ValidationError `messages`: neither is known to this package.
            errors = getattr(error, "errors", None) or getattr(error, "messages", None)
            if not isinstance(errors, Mapping):
                raise
            raise Refused(str(error), errors) from None


class Server:
    """The engine of a server, through its API; the settings are those of its site."""

    def __init__(self, url: str, token: str, site: str = "demo", timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url} is no address of chimein: it must start with http:// or https://.")
        make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection: HTTPConnection = make(parts.hostname, parts.port, timeout=timeout)
        self._path = f"{parts.path.rstrip('/')}/api/v1/sites/{quote(site, safe='')}/simulations"
        self._url, self._token = url, token

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        items: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            told = self._post(f"{self._path}?{urlencode({'limit': PAGE, **cursor})}", body)
            items += told["items"]
            if told["next_cursor"] is None:
                self._connection.close()
                return {**told, "items": items}
            cursor = {"cursor": told["next_cursor"]}

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        try:
            self._connection.request("POST", path, gzip.compress(json.dumps(body).encode()), headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise NoEngine(f"Nobody answers at {self._url} ({type(error).__name__}: {error}).") from None
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise NoEngine(f"What answers at {self._url} is not chimein (status {response.status}).")
        if response.status == 200:
            return told
        self._connection.close()
        if response.status == 422:
            raise Refused(str(told.get("message")), told.get("errors") or {})
        raise NoEngine(f"{self._url} refused (status {response.status}): {told.get('message')}")


class Story:
    """What visitors do, one after the other; `at` and `after` say when, `sent` asks what came of it.

    A visitor is named by the `anonymousId` of the browser; `None` with a `user_id` is what a backend reports.
    """

    def __init__(
        self, rules: Sequence[str], engine: Engine, *, names: Sequence[str] = (), holdout: bool = False
    ) -> None:
        self._rules = list(rules)
        self._names = list(names) or [f"rules {number + 1}" for number in range(len(self._rules))]
        self._engine = engine
        self._holdout = holdout
        self._now: datetime | None = None
        self._calls: list[Call] = []

    def at(self, moment: datetime | str) -> Story:
        """What follows happens at this moment: a datetime, or text such as 2026-03-01T10:00:00Z."""
        self._now = _moment(moment)
        return self

    def after(self, span: timedelta | str) -> Story:
        """What follows happens so much later: a timedelta, or text such as 30s, 15m, 2h, 7d."""
        self._now = self._moment() + _span(span)
        return self

    def track(self, who: str | None, event: str, properties: Mapping[str, Any] | None = None, **fields: Any) -> Story:
        """An event; `fields` are `user_id`, `message_id`, `context`."""
        return self._call(who, {"type": "track", "event": event, "properties": dict(properties or {})}, fields)

    def page(
        self, who: str | None, name: str | None = None, properties: Mapping[str, Any] | None = None, **fields: Any
    ) -> Story:
        """A page view: to rules, the event `Page Viewed`."""
        return self._call(who, {"type": "page", "name": name, "properties": dict(properties or {})}, fields)

    def identify(
        self, who: str | None, user_id: str | None = None, traits: Mapping[str, Any] | None = None, **fields: Any
    ) -> Story:
        """Who it is: from now on the browser's events are that person's, and those before too."""
        return self._call(who, {"type": "identify", "traits": dict(traits or {})}, {"user_id": user_id, **fields})

    def group(self, who: str | None, group_id: str, traits: Mapping[str, Any] | None = None, **fields: Any) -> Story:
        """The company or the like that somebody belongs to."""
        return self._call(who, {"type": "group", "groupId": group_id, "traits": dict(traits or {})}, fields)

    def alias(self, previous_id: str, user_id: str) -> Story:
        """What was known as `previous_id` is this person."""
        return self._call(None, {"type": "alias", "previousId": previous_id}, {"user_id": user_id})

    def sent(self, until: datetime | str | None = None) -> Sends:
        """Every message up to `until`, in order of time; left out: until 90 days after the last event."""
        told = self._told(until)
        outcomes = [_outcome(item) for item in told["items"]]
        sent = [_sent(item, each) for item in told["items"] for each in item["messages"]]
        sent.sort(key=lambda each: (each.at, each.rule, each.visitor))
        return Sends(sent, outcomes, told["summary"].get("denied", {}))

    def outcomes(self, until: datetime | str | None = None) -> list[Outcome]:
        """What became of everybody who entered a rule, also of those to whom nothing was sent, with the reason."""
        return self.sent(until).outcomes

    def _call(self, who: str | None, call: Call, fields: Mapping[str, Any]) -> Story:
        named = {"anonymousId": who, "userId": fields.get("user_id"), "messageId": fields.get("message_id")}
        unknown = set(fields) - {"user_id", "message_id", "context"}
        if unknown:
            raise TypeError(f"An event takes user_id, message_id and context, not {', '.join(sorted(unknown))}.")
        if who is None and fields.get("user_id") is None:
            raise ValueError("Who is it? Name the visitor, or give a user_id.")
        told = {**call, **named, "context": fields.get("context"), "timestamp": _written(self._moment())}
        self._calls.append({name: value for name, value in told.items() if value is not None})
        return self

    def _moment(self) -> datetime:
        if self._now is None:
            raise ValueError('When is it? Begin with story.at("2026-03-01T10:00:00Z").')
        return self._now

    def _told(self, until: datetime | str | None) -> dict[str, Any]:
        last = max((_moment(each["timestamp"]) for each in self._calls), default=self._moment())
        end = _moment(until) if until is not None else last + HORIZON
        body = {"yaml": self._rules, "events": self._calls, "until": _written(end), "holdout": self._holdout}
        try:
            return self._engine.answer(body)
        except Refused as refused:
            raise RuleMistakes(self._mistakes(refused)) from None

    def _mistakes(self, refused: Refused) -> str:
        lines = []
        for path, sentence in _leaves(refused.errors):
            if path[:1] == ["yaml"] and len(path) > 1:
                place = ": ".join([self._names[int(path[1])], *([".".join(path[3:])] if path[3:] else [])])
            elif path[:1] == ["events"] and len(path) > 1:
                call = self._calls[int(path[1])]
                place = f"event {int(path[1]) + 1}, {call.get('event', call['type'])} at {call['timestamp']}"
            else:
                place = ".".join(path)
            lines.append(f"{place}: {sentence}" if place else sentence)
        return "\n".join(lines) or str(refused)


def read_rules(paths: Sequence[str | Path]) -> tuple[list[str], list[str]]:
    """The texts of these files, and of all rules in these directories; beside them their names."""
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files += sorted(each for each in path.rglob("*") if each.suffix in (".yaml", ".yml", ".json"))
        else:
            files.append(path)
    return [each.read_text(encoding="utf-8") for each in files], [each.name for each in files]


def explain(found: Sends, expected: Sequence[Any]) -> list[str]:
    """In what two lists of messages differ, and why, line by line."""
    rest, missing = list(found), []
    for each in expected:
        if each in rest:
            rest.remove(each)
        else:
            missing.append(each)
    lines = ["what was sent is not what was expected"]
    lines += ["", "expected, and not sent:", *(f"  {each!r}" for each in missing)] if missing else []
    lines += ["", "sent, and not expected:", *(f"  {each!r}" for each in rest)] if rest else []
    if not missing and not rest:
        lines += ["", "the order differs; it is that of time:", *(f"  {each!r}" for each in found)]
    if found.outcomes:
        lines += ["", "what became of everybody who entered a rule:", *(f"  {each!r}" for each in found.outcomes)]
    else:
        lines += ["", "nobody entered a rule: no event was its trigger, or the audience never held."]
    if found.denied:
        told = ", ".join(f"{reason} {count}" for reason, count in found.denied.items())
        lines += ["", f"triggers that re-entry did not let in: {told}"]
    return lines


def _sent(item: Mapping[str, Any], said: Mapping[str, Any]) -> Sent:
    return Sent(_who(item), item["rule"], said["at"], said["channel"], said["step"], said["variant"], said["content"])


def _outcome(item: Mapping[str, Any]) -> Outcome:
    entered, at = _moment(item["entered_at"]), _moment(item["at"])
    return Outcome(_who(item), item["rule"], entered, at, item["outcome"], item["reason"])


def _who(item: Mapping[str, Any]) -> str:
    return str(item["anonymous_id"] or item["user_id"])


def _leaves(errors: Any, path: tuple[str, ...] = ()) -> list[tuple[list[str], str]]:
    if isinstance(errors, Mapping):
        return [found for key, below in errors.items() for found in _leaves(below, (*path, str(key)))]
    if isinstance(errors, (list, tuple)):
        return [([part for part in path if part != "_schema"], str(sentence)) for sentence in errors]
    return [(list(path), str(errors))]


def _moment(told: datetime | str) -> datetime:
    """The aware moment in UTC; text without an offset, and naive datetimes, are refused."""
    if isinstance(told, str):
        try:
            told = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", told))
        except ValueError:
            raise ValueError(f"{told!r} is no moment; write it like 2026-03-01T10:00:00Z.") from None
    if told.tzinfo is None:
        raise ValueError(f"{told.isoformat()} lacks its time zone; write it like 2026-03-01T10:00:00Z.")
    return told.astimezone(timezone.utc)


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _span(told: timedelta | str) -> timedelta:
    if isinstance(told, timedelta):
        return told
    found = _SPAN.fullmatch(told)
    if found is None:
        raise ValueError(f"{told!r} is no duration; write it like 30s, 15m, 2h or 7d.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
