"""What a graph tells while it runs: complete, the same as the journal, for whoever listens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right
from typing_extensions import TypedDict

from langgraph_maker import Ballot, create_maker, journal, solve
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.events import Alarm, Event, Observer, RoundEnded, StepDecided, Totals
from langgraph_maker.core.state import Request
from langgraph_maker.nodes.totals import add, nothing
from langgraph_maker.tasks import TowersOfHanoi
from langgraph_maker.theory.mixture import shape

NOISY = "sim:error=0.1,flag=0.1"


def told(lanes: int = 1, model: str = NOISY, **options: Any) -> tuple[list[Any], InMemoryStore]:
    store = InMemoryStore()
    graph = create_maker(TowersOfHanoi(7), model, lanes=lanes, **options).compile(store=store)
    events = list(graph.stream({"run_id": "r"}, {"recursion_limit": 100_000}, stream_mode="custom"))
    return events, store


def rebuilt(store: InMemoryStore, run_id: str = "r") -> Totals:
    task = TowersOfHanoi(7)
    return add(nothing(), ((entry, task.vote_key(entry["vote"])) for entry in journal.read(store, run_id)))


def of(step: StepDecided) -> list[int]:
    return [one["count"] for one in step["counts"]]


def rounds(events: list[Any]) -> list[RoundEnded]:
    return [event for event in events if event["event"] == "round.ended"]


@pytest.mark.parametrize("lanes", [1, 16])
def test_events_rebuild_the_journals_counts(lanes: int) -> None:
    events, store = told(lanes)
    counted, entries = rounds(events), list(journal.read(store, "r"))
    assert sum(now["steps"] for now in counted) == len(entries) == 127
    for name in ("samples", "votes", "winner_votes"):
        assert sum(now[name] for now in counted) == sum(entry[name] for entry in entries)
    flags: Counter[str] = Counter()
    for entry in entries:
        flags.update(entry["flags"])
    seen: Counter[str] = Counter()
    for event in events:
        if event["event"] == "samples.flagged":
            seen.update(event["flags"])
    assert seen == flags != {}
    assert counted[-1]["totals"] == rebuilt(store) == events[-1]["totals"]


def test_totals_hold_what_ballots_say() -> None:
    events, _ = told(4, detail="ballots")
    totals, steps = events[-1]["totals"], [event for event in events if event["event"] == "step.decided"]
    lost = [sum(one["count"] for one in step["counts"]) - max(one["count"] for one in step["counts"]) for step in steps]
    assert totals["lost"] == sum(lost) > 0
    assert totals["shapes"] == Counter(
        shape(sum(one), max(one), step["margin"]) for step in steps for one in [of(step)]
    )
    assert sum(totals["contested"]) == sum(count > 0 for count in lost)
    assert totals["flagged_steps"] == sum(bool(step["flags"]) for step in steps)
    hardest = sorted((-step["samples"], step["step"]) for step in steps)[:10]
    assert totals["hardest"] == [[-samples, step] for samples, step in hardest]


def test_a_ballot_can_be_rebuilt() -> None:
    events, store = told(4, detail="ballots", k=3)
    steps = {event["step"]: event for event in events if event["event"] == "step.decided"}
    for entry in journal.read(store, "r"):
        counts = steps[entry["step"]]["counts"]
        votes = {canonical(one["vote"]): one["vote"] for one in counts}
        ballot = Ballot.resume(3, {canonical(one["vote"]): one["count"] for one in counts}, votes)
        assert (ballot.winner, ballot.margin, sum(ballot.counts.values())) == (entry["vote"], 3, entry["votes"])


def test_steps_are_told_only_when_asked_for() -> None:
    assert not any(event["event"] == "step.decided" for event in told()[0])
    with pytest.raises(ValueError, match='detail is "round" or "ballots"'):
        create_maker(Counting(2), Scripted(right), detail="all")  # type: ignore[arg-type]


def test_the_order_of_events() -> None:
    kinds = [event["event"] for event in told()[0]]
    assert (kinds[0], kinds[-1]) == ("run.started", "run.ended")
    assert set(kinds[1:-1]) == {"round.ended", "samples.flagged"}


async def test_asynchronous_streams_tell_the_same() -> None:
    graph = create_maker(TowersOfHanoi(5), NOISY).compile()
    config: Any = {"recursion_limit": 10_000}
    here = list(graph.stream({"run_id": "r"}, config, stream_mode="custom"))
    assert [event async for event in graph.astream({"run_id": "r"}, config, stream_mode="custom")] == here


def test_as_a_subgraph_of_a_host() -> None:
    class Host(TypedDict, total=False):
        run_id: str

    maker = create_maker(Counting(3), Scripted(right)).compile()
    host = StateGraph(Host).add_node("solve", maker).add_edge(START, "solve").compile()
    seen: list[Any] = [event for _, event in host.stream({"run_id": "r"}, stream_mode="custom", subgraphs=True)]
    assert [event["event"] for event in seen] == ["run.started", *["round.ended"] * 3, "run.ended"]


def test_a_step_that_does_not_settle() -> None:
    def split(request: Request) -> str:
        return right(request) if request.messages[0].text == "0" else str(request.number % 2)

    store = InMemoryStore()
    graph = create_maker(Counting(4), Scripted(split), max_samples_per_step=10).compile(store=store)
    events = list(graph.stream({"run_id": "r"}, stream_mode="custom"))
    [undecided] = [event for event in events if event["event"] == "step.unresolved"]
    assert (undecided["step"], undecided["samples"]) == (1, 9)
    assert [one["count"] for one in undecided["counts"]] == [5, 4]
    assert events[-1]["status"] == "unresolved"


def into(events: list[Any]) -> Observer:
    def observe(event: Event) -> list[Alarm]:
        events.append(event)
        return []

    return observe


def test_open_ballots_stand_beside_what_is_decided() -> None:
    def late(request: Request) -> str:
        return "flag" if request.number == 0 else right(request)

    events: list[Event] = []
    solve(Counting(1), Scripted(late), observer=into(events))
    first = rounds(events)[0]
    assert (first["steps"], first["open"]["ballots"], first["open"]["flagged"], first["open"]["samples"]) == (
        0,
        1,
        1,
        3,
    )


def test_going_on_begins_with_what_the_journal_holds() -> None:
    store, events = InMemoryStore(), list[Any]()
    some = solve(TowersOfHanoi(7), NOISY, store=store, run_id="r", max_total_samples=200)
    assert some.status == "stopped"
    before = rebuilt(store)
    run = solve(TowersOfHanoi(7), NOISY, store=store, run_id="r", observer=into(events))
    assert events[0]["totals"] == before
    assert sum(now["steps"] for now in rounds(events)) == run.steps - before["steps"]
    assert rounds(events)[-1]["totals"] == rebuilt(store)


def entry_of(answer: Callable[[Request], str | AIMessage | Exception]) -> Any:
    store = InMemoryStore()
    solve(Moving(), Scripted(answer), store=store, run_id="r")
    return next(journal.read(store, "r"))


class Moving(Counting):
    """One step; an answer is an action and a next state."""

    def __init__(self) -> None:
        super().__init__(1)

    def parse(self, text: str) -> Any:
        action, state = text.split()[:2]
        return {"action": action, "next_state": int(state)}


def test_votes_for_the_action_with_another_next_state_are_counted() -> None:
    answers = ["add 1", "add 2", "take 1", "add 1", "add 1", "add 1"]
    entry = entry_of(lambda request: answers[min(request.number, 5)])
    assert (entry["votes"], entry["winner_votes"], entry["drifted"]) == (6, 4, 1)


@pytest.mark.parametrize(
    ("texts", "alike"),
    [(["a", "b", "b"], 1), (["a", "a", "b"], -1), (["a", "b", "a"], 0), (["a", "a", "a"], 0), (["a", "b", "c"], 0)],
)
def test_answers_of_the_same_wording(texts: list[str], alike: int) -> None:
    assert entry_of(lambda request: f"add 1 {texts[request.number]}")["alike"] == alike
