"""Edits of a rule that people are in: they go on by their version, or move to the new one, and hear nothing twice."""

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.engine import Advance, Ruleset, VersionNeeded, advance
from backend.domain.enrolment import Enrolment
from backend.domain.event import Event
from backend.domain.message import Message
from backend.domain.past import Past, by_name
from backend.domain.profile import Profile
from backend.domain.rule import CompiledRule, Rule, compile_rule, parse_rule
from backend.domain.rule.layout import align, follow, likeness, spots_of
from backend.domain.rule.model import blocks_of
from backend.domain.site import Policy
from backend.domain.standing import standing
from tests.story import NOON, SITE, minutes, saying

HOUR = 60
DAY = 24 * HOUR


def step(name: str, body: str | None = None, **message: Any) -> dict[str, Any]:
    return {"name": name, "message": saying(body or name, **message)}


def wait(then: list[Any], otherwise: list[Any], event: str = "C", timeout: str = "3h") -> dict[str, Any]:
    return {"wait": {"events": [{"event": event}], "timeout": timeout}, "then": then, "else": otherwise}


def branch(then: list[Any], otherwise: list[Any], event: str = "C") -> dict[str, Any]:
    return {"branch": {"if": {"performed": event}, "then": then, "else": otherwise}}


@dataclass
class Life:
    """One rule through its versions, and one visitor who goes through it event by event, as it happens live."""

    steps: list[Any]
    parts: dict[str, Any] = field(default_factory=dict)
    versions: dict[int, Rule] = field(default_factory=dict)
    moved_to: int = 0
    profile: Profile = field(default_factory=lambda: Profile(id="visitor", site_id=SITE.id, person="visitor"))
    known: dict[str, Enrolment] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    emitted: list[Event] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.edit(self.steps)

    def edit(self, steps: list[Any] | None = None, *, move: bool = False, **parts: Any) -> None:
        """The next version; `parts` stay what they were unless given."""
        self.parts |= parts
        told = {"name": "r", "trigger": {"event": "A"}, "reentry": {"policy": "every"}, **self.parts}
        spec = parse_rule(told | ({"steps": steps} if steps is not None else {"message": saying("whole")}))
        number = len(self.versions) + 1
        self.versions[number] = Rule(id="r", site_id=SITE.id, spec=spec, status="active", version=number)
        if move:
            self.moved_to = number

    def ruleset(self) -> Ruleset:
        site = replace(SITE, policy=Policy(dismiss_backoff=timedelta(0)))
        return Ruleset.of(site, [self.compiled(len(self.versions))])

    def compiled(self, version: int) -> CompiledRule:
        return compile_rule(replace(self.versions[version], moved_to=self.moved_to))

    def goes_on(self, until: float, *names: str) -> Advance:
        """Up to so many minutes after noon, with an event of each of these names at that moment."""
        end = NOON + timedelta(minutes=until)
        now = [
            Event(
                message_id=f"{name}{len(self.events)}",
                name=name,
                type="track",
                timestamp=end,
                received_at=end,
                order=len(self.events) + index,
                anonymous_id="ann",
            )
            for index, name in enumerate(names)
        ]
        self.events += now
        past = [*self.events, *self.emitted]
        ruleset = self.ruleset()
        while True:
            history = Past(by_name(past), complete=True)
            try:
                result = advance(ruleset, self.profile, list(self.known.values()), now, history, until=end, now=None)
                break
            except VersionNeeded as needed:
                ruleset.former[needed.rule_id, needed.version] = (
                    self.compiled(needed.version) if needed.version in self.versions else None
                )
        self.profile = result.profile
        self.known |= result.enrolments
        self.messages += result.messages
        self.emitted += result.emitted
        return result

    @property
    def said(self) -> list[tuple[str, float]]:
        return [(each.step, minutes(each.created_at)) for each in self.messages]

    @property
    def ends(self) -> list[tuple[str | None, str | None]]:
        return [(each.outcome, each.reason) for each in self.known.values()]


PLAN = [step("one"), {"delay": "1d"}, step("two"), {"delay": "1d"}, step("three")]


def test_who_is_kept_goes_on_by_the_version_that_they_entered() -> None:
    life = Life(PLAN)
    life.goes_on(0, "A")
    life.edit([step("other"), {"delay": "2h"}])
    life.edit([{"delay": "5m"}, step("another"), step("and another"), {"delay": "9d"}, step("late")])
    life.goes_on(10 * DAY)
    assert life.said == [("one", 0), ("two", DAY), ("three", 2 * DAY)]
    life.goes_on(10 * DAY, "A")
    life.goes_on(10 * DAY + 10)
    assert life.said[3:] == [("another", 10 * DAY + 5), ("and another", 10 * DAY + 5)]


def test_a_former_version_is_asked_for_once_and_never_replaced_by_the_present() -> None:
    life = Life(PLAN)
    life.goes_on(0, "A")
    life.edit([step("x")])
    ruleset = life.ruleset()
    past = Past({}, complete=True)
    with pytest.raises(VersionNeeded) as caught:
        advance(ruleset, life.profile, list(life.known.values()), [], past, until=NOON, now=None)
    assert (caught.value.rule_id, caught.value.version) == ("r", 1)
    ruleset.former["r", 1] = None  # nobody has it any more
    result = advance(ruleset, life.profile, list(life.known.values()), [], past, until=NOON, now=None)
    [enrolment] = result.enrolments.values()
    assert (enrolment.outcome, enrolment.reason) == ("sent", "rule_changed")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param([step("one"), {"delay": "1d"}, step("two")], [("two", DAY)], id="the end was cut off"),
        pytest.param(
            [step("zero"), step("one"), {"delay": "1d"}, step("new"), step("two")],
            [("new", DAY), ("two", DAY)],
            id="what is new behind the place comes, what is new before it does not",
        ),
        pytest.param([{"delay": "1d"}, step("one"), step("two")], [("two", DAY)], id="what was sent is passed over"),
        pytest.param(
            [{"delay": "1d"}, step("uno", "one"), step("two")], [("two", DAY)], id="the same words by another name"
        ),
        pytest.param(
            [step("one"), {"delay": "2h"}, step("two")], [("two", DAY)], id="a delay that has begun ends as it would"
        ),
        pytest.param([step("one"), step("two")], [("two", DAY)], id="without its delay it goes on with what follows"),
        pytest.param([step("one"), step("three")], [("three", DAY)], id="with the nearest that is still there"),
        pytest.param([step("one")], [], id="where nothing follows it ends"),
        pytest.param([step("x"), step("y")], [], id="where nothing is left it ends"),
        pytest.param([branch([step("one"), {"delay": "1d"}, step("two")], [])], [], id="never into a branch"),
        pytest.param(None, [], id="from steps to one message"),
    ],
)
def test_who_is_moved_goes_on_at_the_same_step(after: Any, expected: Any) -> None:
    life = Life(PLAN)
    life.goes_on(0, "A")
    life.edit(after, move=True)
    life.goes_on(10 * DAY)
    assert life.said == [("one", 0), *expected]
    [enrolment] = life.known.values()
    assert enrolment.outcome == "sent"
    assert [note.result for note in enrolment.notes if note.result in {"moved", "ended"}] == [
        "moved" if expected else "ended"
    ]


def test_the_delay_of_the_rule_itself_is_one_place() -> None:
    for before, after in ((None, PLAN), (PLAN, None), (None, None)):
        life = Life(PLAN, {"delay": "30m"})
        life.versions.clear()
        life.edit(before)
        life.goes_on(0, "A")
        life.edit(after, move=True, delay="3h")
        life.goes_on(29)
        assert life.said == []
        life.goes_on(31)
        assert [name for name, _ in life.said] == ["one" if after else ""]


INSIDE = [branch([{"delay": "1h"}, step("yes")], [{"delay": "1h"}, step("no")]), step("end")]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(INSIDE, ["no", "end"], id="unchanged"),
        pytest.param([step("first"), *INSIDE], ["no", "end"], id="the branch stands elsewhere"),
        pytest.param(
            [branch([{"delay": "1h"}, step("yes")], [{"delay": "1h"}, step("nope")]), step("end")],
            ["nope", "end"],
            id="another message on the way that they took",
        ),
        pytest.param(
            [branch([{"delay": "1h"}, step("yes")], [{"delay": "1h"}, step("no")], event="D"), step("end")],
            ["no", "end"],
            id="another question, the same messages",
        ),
        pytest.param(
            [branch([{"delay": "1h"}, step("x")], [{"delay": "1h"}, step("y")], event="D"), step("end")],
            ["end"],
            id="another branch: they go on behind it",
        ),
        pytest.param([branch([{"delay": "1h"}, step("yes")], []), step("end")], ["end"], id="their way is empty now"),
        pytest.param([step("no"), step("end")], ["end"], id="the branch is gone: they go on behind it"),
        pytest.param([step("bye")], [], id="the branch is gone and nothing is left behind it"),
    ],
)
def test_nobody_gets_onto_a_way_that_they_did_not_take(after: Any, expected: list[str]) -> None:
    life = Life(INSIDE)
    life.goes_on(0, "A")
    life.edit(after, move=True)
    life.goes_on(10 * DAY)
    assert [name for name, _ in life.said] == expected


def test_a_wait_goes_on_waiting_for_what_the_new_version_waits_for_until_its_own_end() -> None:
    life = Life([wait([step("came")], [step("late")]), step("end")])
    life.goes_on(0, "A")
    life.edit([wait([step("came")], [step("late")], event="D", timeout="9d"), step("end")], move=True)
    life.goes_on(HOUR, "C")
    assert life.said == []
    life.goes_on(2 * HOUR, "D")
    assert life.said == [("came", 2 * HOUR), ("end", 2 * HOUR)]
    life.goes_on(100 * DAY, "A")
    life.edit([step("start"), step("end")], move=True)
    life.goes_on(100 * DAY + HOUR, "D")
    assert len(life.said) == 2, "a wait that is gone waits for nothing"
    life.goes_on(101 * DAY)
    assert len(life.said) == 2, "and would have lasted nine days"
    life.goes_on(110 * DAY)
    assert life.said[2:] == [("end", 109 * DAY)]


def test_a_message_that_must_wait_keeps_its_moment() -> None:
    night = {"quiet_hours": {"from": "13:00", "to": "18:00", "channels": ["popup"]}}  # in Berlin it is 13:00
    life = Life([step("held"), step("end")], night)
    life.goes_on(30, "A")
    [enrolment] = life.known.values()
    assert enrolment.deferred == "quiet_hours"
    told = standing(life.compiled(1), enrolment)
    assert told is not None
    assert (told.step, told.place) == ("held", "steps.0")
    life.edit([step("new"), step("held"), step("more")], move=True)
    life.goes_on(DAY)
    assert life.said == [("held", 5 * HOUR), ("more", 5 * HOUR)]


def test_moved_twice_is_moved_to_the_last() -> None:
    life = Life(PLAN)
    life.goes_on(0, "A")
    life.edit([step("one"), {"delay": "1d"}, step("two")], move=True)
    life.edit([step("one"), {"delay": "1d"}, step("due")], move=True)
    life.edit([step("kept")])
    life.goes_on(10 * DAY)
    assert life.said == [("one", 0), ("due", DAY)]
    [enrolment] = life.known.values()
    assert enrolment.rule_version == 3


def test_moving_the_same_steps_changes_no_place() -> None:
    for steps in (PLAN, INSIDE, [wait([{"delay": "1h"}, step("a")], [step("b")]), step("c")]):
        life = Life(steps)
        before = spots_of(life.compiled(1))
        life.edit(steps, move=True)
        assert spots_of(life.compiled(2)) == before


def test_every_step_has_a_start_and_the_document_has_every_path() -> None:
    steps = [
        *INSIDE,
        wait([{"delay": "1h"}], [{"stop": True}]),
        {"split": [{"steps": [step("left")]}, {"steps": [{"delay": "1m"}]}]},
    ]
    rule = Life(steps).compiled(1)
    document: Any = dict(rule.rule.spec.document)
    for spot in spots_of(rule):
        node = document
        for key in spot.path.split("."):
            node = node[int(key)] if isinstance(node, list) else node[key]
        assert isinstance(node, dict)
    assert [spot.start for spot in spots_of(rule)] == sorted({spot.start for spot in spots_of(rule)})


def test_steps_are_the_same_by_name_then_by_what_they_say_and_never_across() -> None:
    def steps(*parts: Any) -> Any:
        return parse_rule({"name": "r", "trigger": {"event": "A"}, "steps": [*parts, step("last")]}).steps

    message = {"message": saying("unnamed")}
    old = steps(step("a"), {"delay": "1h"}, message, {"delay": "2h"})
    assert align(old, old) == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}
    new = steps({"message": saying("new")}, step("a", "other words"), {"delay": "5h"}, {"delay": "1h"}, message)
    assert align(old, new) == {0: 1, 1: 3, 2: 4, 4: 5}


NAMES = ["n1", "n2", "n3", "n4"]


@st.composite
def plans(draw: Any) -> list[Any]:
    """Some steps, each name at most once."""
    free = draw(st.permutations(NAMES))

    def steps(depth: int) -> list[Any]:
        return [one(depth) for _ in range(draw(st.integers(0, 3)))]

    def one(depth: int) -> Any:
        kind = draw(
            st.sampled_from(["say", "say", "say", "delay", "delay", "emit", "trait", "wait", "branch", "split"])
        )
        if depth > 1 and kind in {"wait", "branch", "split"}:
            kind = "delay"
        if kind == "say":
            body = draw(st.sampled_from(["x", "y"]))
            return step(free.pop(), body) if free and draw(st.booleans()) else {"message": saying(body)}
        if kind == "delay":
            return {"delay": draw(st.sampled_from(["30m", "2h", "1d"]))}
        if kind == "emit":
            return {"emit": {"event": draw(st.sampled_from(["C", "D"]))}}
        if kind == "trait":
            return {"set_trait": {"seen": draw(st.integers(0, 2))}}
        if kind == "wait":
            return wait(steps(depth + 1), steps(depth + 1), event=draw(st.sampled_from(["C", "D"])))
        if kind == "branch":
            return branch(steps(depth + 1), steps(depth + 1), event=draw(st.sampled_from(["C", "D"])))
        return {"split": [{"steps": steps(depth + 1)}, {"steps": steps(depth + 1)}]}

    return [*steps(0), {"message": saying("last")}]


@settings(max_examples=250, deadline=None)
@given(
    first=plans(),
    doings=st.lists(
        st.one_of(
            st.tuples(st.just("event"), st.sampled_from("ACD")),
            st.tuples(st.just("edit"), st.tuples(plans(), st.booleans())),
            st.tuples(st.just("time"), st.sampled_from([1, 31, 121, 25 * HOUR])),
        ),
        max_size=14,
    ),
)
def test_whatever_is_edited_whenever_nothing_is_said_twice_and_everybody_ends(first: Any, doings: Any) -> None:
    life = Life(first)
    now = 1.0
    life.goes_on(now, "A")
    for kind, told in doings:
        now += 1
        if kind == "event":
            life.goes_on(now, told)
        elif kind == "edit":
            life.edit(told[0], move=told[1])
        else:
            now += told
            life.goes_on(now)
        for enrolment in life.known.values():
            assert not enrolment.waiting or enrolment.rule_version in life.versions
    life.goes_on(now + 100 * DAY)
    said = [(each.enrolment_id, each.step) for each in life.messages]
    assert len(said) == len(set(said)), "the same step twice"
    assert len({each.id for each in life.messages}) == len(life.messages)
    assert len({each.message_id for each in life.emitted}) == len(life.emitted)
    assert all(not each.waiting for each in life.known.values())
    for enrolment in life.known.values():
        # Nobody is on a way of a fork that was not taken: each note of a step is of a version that they were in.
        names = {note.step for note in enrolment.notes if note.result == "sent"}
        assert names == {step for owner, step in said if owner == enrolment.id}


@settings(max_examples=150, deadline=None)
@given(old=plans(), new=plans(), seed=st.integers(0, 1000))
def test_a_place_maps_onto_the_same_ways(old: Any, new: Any, seed: int) -> None:
    """Wherever somebody stands: the way to the new place goes through forks that are those of the old one."""
    one, other = (parse_rule({"name": "r", "trigger": {"event": "A"}, "steps": each}).steps for each in (old, new))
    rule = Life(old).compiled(1)
    spot = random.Random(seed).choice(spots_of(rule))
    found = follow(one, other, spot.address)
    if found is None:
        return
    address, same = found
    assert len(address) <= len(spot.address) or address[-1] == -1
    here, there = one, other
    for place in range(0, len(address) - 1, 2):
        if address[place + 1] == -1:
            break
        a, b = here[spot.address[place]], there[address[place]]  # type: ignore[index]
        assert likeness(a, b) >= 4
        assert spot.address[place + 1] == address[place + 1], "the same way"
        here, there = dict(blocks_of(a))[str(address[place + 1])], dict(blocks_of(b))[str(address[place + 1])]
    if same:
        assert len(address) == len(spot.address)
