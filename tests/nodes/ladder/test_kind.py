"""A fifth kind of tier, in this file alone: through kills, events, report and resume.

Where votes on a step are tied it puts the answers that came up to the vote, by their numbers, and takes the one that is
chosen by k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from fault_kinds import Died, Kind
from faults import World
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted

from langgraph_maker import Run, journal, solve
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import BallotState, Request
from langgraph_maker.nodes.ladder import Absorbed, AskHuman, Judging, Setting, Tier, TierKind, TierTerms
from langgraph_maker.nodes.ladder.kind import left
from langgraph_maker.report import numbers, page


@dataclass(frozen=True)
class Choose:
    """Puts the candidates to the vote, each choice by a lead of `k` at least."""

    k: int = 1

    def tier(self, setting: Setting) -> TierKind:
        """Return the tier as it is used."""
        if setting.task is None:
            raise TypeError("Choose() takes a task")
        return ChooseTier(TierTerms([(0, 0)], None, self.k, None, carry=False), {"choose": self.k})


@dataclass(frozen=True)
class ChooseTier(TierKind):
    """Votes are numbers of candidates."""

    name: ClassVar[str] = "choose"
    title: ClassVar[str] = "Choose()"
    own_votes: ClassVar[bool] = True

    def begin(self, ballot: BallotState) -> dict[str, Any] | str:
        """Begin with the answers that came up."""
        keys = sorted(ballot["votes"])
        if len(keys) < 2:
            return "there is nothing to choose from"
        return {"label": f"choice of {len(keys)}", "keys": keys, "candidates": [ballot["votes"][key] for key in keys]}

    def messages(self, ballot: BallotState, variant: int) -> Sequence[BaseMessage]:
        """Name the candidates."""
        del variant
        shown = [one["next_state"] for one in self.inner(ballot)["candidates"]]
        return [HumanMessage(f"choose after {ballot['state']}: {shown}")]

    def judging(self, ballot: BallotState) -> Judging:
        """Read a number of a candidate."""
        count = len(self.inner(ballot)["candidates"])

        def validate(_: Any, vote: Any) -> RedFlag | None:
            return None if 0 <= vote < count else RedFlag("no_candidate", str(vote))

        return Judging(ballot["state"], int, canonical, validate)

    def absorb(self, ballot: BallotState, why: str) -> Absorbed:
        """Take the candidate that is chosen."""
        if why:
            return Absorbed(ballot, f"no candidate was chosen: {why}")
        won, inner = ballot["outcome"], self.inner(ballot)
        chosen = won["vote"]
        after: BallotState = {
            **left(ballot),
            "outcome": {
                **won,
                "by": self.name,
                "key": inner["keys"][chosen],
                "vote": inner["candidates"][chosen],
                "steps": 1,
            },
        }
        return Absorbed(after)

    @staticmethod
    def inner(ballot: BallotState) -> Any:
        return ballot["inner"]


HARD = 1


def _answer(request: Request) -> str:
    """Answer rightly, half of the time on the hard step; choose the right candidate."""
    text = str(request.messages[0].content)
    if text.startswith("choose"):
        state, candidates = int(text.split()[2].rstrip(":")), text.partition("[")[2].rstrip("]").split(", ")
        return str(candidates.index(str(state + 1)))
    state = int(text)
    return str(state + 1 + (request.number % 2 if state == HARD else 0))


LADDER = [Tier(samples=6), Choose()]


def _solve(model: Any, **options: Any) -> Run:
    return solve(Counting(3), model, **{"k": 3, "ladder": LADDER, "run_id": "r", "store": InMemoryStore(), **options})


def test_it_decides_the_step_that_votes_did_not() -> None:
    store = InMemoryStore()
    run = _solve(Scripted(_answer), store=store)
    assert (run.status, run.final_state) == ("solved", 3)
    hard = [*journal.read(store, "r")][HARD]
    assert (hard["by"], hard["tier"], hard["margin"], hard["votes"], hard["samples"]) == ("choose", 1, 3, 3, 8)
    assert run.outlook is not None
    assert (run.outlook.by_split, journal.verify(store, "r")) == (1, [])


def test_events_say_what_it_decided_where_ballots_are_told() -> None:
    events: list[Any] = []
    _solve(Scripted(_answer), observer=events.append, detail="ballots")
    [decided] = [event for event in events if event["event"] == "tier.decided"]
    assert (decided["step"], decided["kind"], decided["label"], decided["vote"]) == (HARD, "choose", "choice of 2", 0)
    [escalated] = [event for event in events if event["event"] == "step.escalated"]
    assert (escalated["step"], escalated["tier"], escalated["kind"]) == (HARD, 1, "choose")


def test_the_report_names_it_while_it_is_under_way_and_when_it_is_done() -> None:
    store = InMemoryStore()
    _solve(Scripted(_answer), store=store, max_total_samples=8)
    [ballot] = numbers(store, "r")["open_ballots"]
    assert ballot["inner"] == "choice of 2"
    assert "choice of 2" in page(numbers(store, "r"))
    _solve(Scripted(_answer), store=store)
    assert "1 vote in the tier choose" in page(numbers(store, "r"))


def test_a_choice_that_is_made_by_less_than_a_raised_k_is_made_again() -> None:
    store = InMemoryStore()
    _solve(Scripted(_answer), store=store, k=lambda _: 2, ladder=[Tier(samples=4), Choose()], max_total_samples=6)
    run = _solve(Scripted(_answer), store=store, k=lambda step: 4 if step else 2)
    assert [entry["margin"] for entry in journal.read(store, "r")] == [2, 4, 4]
    assert run.status == "solved"


def test_what_it_cannot_decide_goes_on_to_a_human() -> None:
    def undecided(request: Request) -> str:
        text = str(request.messages[0].content)
        return str(request.number % 2) if text.startswith("choose") else _answer(request)

    run = _solve(Scripted(undecided), ladder=[*LADDER, AskHuman()], max_samples_per_step=8)
    assert run.status == "waiting"
    [question] = run.questions
    assert question["why"].startswith("no candidate was chosen: ")
    assert [one["vote"]["next_state"] for one in question["candidates"]] == [2, 3]


def test_a_step_with_one_answer_has_nothing_to_choose_from() -> None:
    run = _solve(Scripted(lambda _: "what?"), max_samples_per_step=20)
    assert (run.status, run.reason_code) == ("unresolved", "all_flagged")
    assert "there is nothing to choose from" in run.reason


def test_a_run_that_is_continued_without_it_votes_on_the_step_again() -> None:
    store = InMemoryStore()
    _solve(Scripted(_answer), store=store, max_total_samples=8)
    run = _solve(Scripted(lambda request: str(int(str(request.messages[0].content)) + 1)), store=store, ladder=None)
    assert (run.status, [entry["by"] for entry in journal.read(store, "r")]) == ("solved", ["", "", ""])


@pytest.mark.parametrize("kind", ["before", "after", "part", "call", "called"])
def test_a_process_that_is_killed_anywhere_changes_nothing(kind: Kind) -> None:
    whole = _solve(Scripted(_answer))
    deaths = 0
    for at in range(1, 30):
        world = World()
        model = world.model(Scripted(_answer))
        try:
            _solve(model, store=world.process(kind, at))
        except Died:
            deaths += 1
        store = world.process()
        run = _solve(model, store=store)
        assert (run.status, run.digest, run.samples, run.votes_per_step) == (
            *(whole.status, whole.digest, whole.samples, whole.votes_per_step),
        )
        assert (world.bought_again(), journal.verify(store, "r")) == (0, [])
    assert deaths >= 5, "there was little to die of"
