"""Lanes: stretches of one chain side by side, and the segment boundaries between them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from digests import right_digest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from langgraph_maker import Progress, create_maker, journal, solve
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.state import Request
from langgraph_maker.core.task import Segment
from langgraph_maker.journal.databases import open_store
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi


class Cut(Counting):
    """`Counting`, cut into lanes: each number is known beforehand."""

    def segments(self, lanes: int) -> Sequence[Segment]:
        steps = self.steps or 0
        lanes = min(lanes, steps)
        cuts = [lane * steps // lanes for lane in range(lanes + 1)]
        return [{"step": start, "end": end, "state": start} for start, end in pairwise(cuts)]


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("state", [nested(100_000), {"a": object()}, 10**6000], ids=["deep", "object", "huge"])
@pytest.mark.parametrize("store", [None, InMemoryStore()])
def test_an_initial_state_that_cannot_be_kept_is_refused_in_words(state: Any, store: Any) -> None:
    class Odd(Cut):
        def initial_state(self) -> Any:
            return state

        def is_done(self, state: Any) -> bool:
            return False

    with pytest.raises(ValueError, match="a state of .* is none that can be kept"):
        solve(Odd(), Scripted(right), store=store)


def bought_twice(model: Scripted) -> list[Any]:
    drawn = Counter((request.subtask_id, request.number) for batch in model.batches for request in batch)
    return [sample for sample, times in drawn.items() if times > 1]


@pytest.mark.parametrize("lanes", [1, 2, 7, 16, 1000])
def test_any_number_of_lanes_decides_alike(lanes: int) -> None:
    store = InMemoryStore()
    run = solve(TowersOfHanoi(7), "sim:error=0.1,flag=0.05", k=5, lanes=lanes, store=store, run_id="r")
    assert (run.status, run.steps, run.digest) == ("solved", 127, right_digest(7))
    assert journal.verify(store, "r") == []
    assert len(list(run.actions())) == 127
    assert run.final_state["pegs"] == [[], [], [7, 6, 5, 4, 3, 2, 1]]


def test_without_a_store_actions_are_in_the_order_of_steps() -> None:
    results = [
        create_maker(TowersOfHanoi(5), "sim:error=0.01", lanes=lanes).compile().invoke({"run_id": "r"})
        for lanes in (1, 4)
    ]
    assert results[0]["actions"] == results[1]["actions"]
    assert results[0]["digest"] == results[1]["digest"]


@pytest.mark.slow
def test_fifteen_disks(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "run.sqlite")) as store:
        run = solve(TowersOfHanoi(15), "sim:gpt-4.1-mini", k=3, lanes=256, store=store, run_id="r")
        assert (run.status, run.steps, run.digest) == ("solved", 32767, right_digest(15))
        assert journal.steps(store, "r") == 32767


@pytest.mark.slow
def test_fifteen_disks_in_one_lane() -> None:
    assert solve(TowersOfHanoi(15), "sim:gpt-4.1-mini", k=3).digest == right_digest(15)


def test_a_chain_is_one_lane_and_says_why() -> None:
    with pytest.raises(ValueError, match=r"counting is one chain: .* lanes must be 1"):
        create_maker(Counting(5), Scripted(right), lanes=2)


@pytest.mark.parametrize("lanes", [0, -1, 2.5, True, "4"])
def test_bad_lanes(lanes: Any) -> None:
    with pytest.raises(ValueError, match="lanes is a whole number of at least 1"):
        create_maker(Cut(5), Scripted(right), lanes=lanes)


@pytest.mark.parametrize("bounds", [[], [(1, 20)], [(0, 5), (6, 20)], [(0, 12), (10, 20)], [(0, 5), (5, 19)]])
def test_segments_that_leave_gaps_are_refused(bounds: Any) -> None:
    class Gaps(Cut):
        def segments(self, lanes: int) -> Sequence[Segment]:
            return [{"step": start, "end": end, "state": start} for start, end in bounds]

    with pytest.raises(ValueError, match=r"segments\(4\) of counting must be at most 4, from step 0 to 20"):
        solve(Gaps(20), Scripted(right), lanes=4)


@pytest.mark.parametrize("given", [[{"step": 0, "start": 0}], [7], None, [{"step": 0, "end": "all", "state": 0}]])
def test_segments_of_another_shape_are_refused(given: Any) -> None:
    class Odd(Cut):
        def segments(self, lanes: int) -> Sequence[Segment]:
            return given  # type: ignore[no-any-return]

    with pytest.raises(
        ValueError, match=r"segments\(4\) of counting must be a list of Segment\(step=…, end=…, state=…\)"
    ):
        solve(Odd(20), Scripted(right), lanes=4)


def test_a_hard_step_holds_no_other_lane_back() -> None:
    seen: list[Progress] = []

    def hard(request: Any) -> str:
        return "wrong"[request.number % 5] if request.subtask_id == "0" and request.number < 30 else right(request)

    class Letters(Cut):
        def parse(self, text: str) -> Any:
            return {"action": "add", "next_state": int(text) if text.isdigit() else text}

    run = solve(Letters(40), Scripted(hard), lanes=4, on_progress=seen.append)
    assert run.status == "solved"
    while_it_votes = next(now for now in seen if now.undecided == 0)
    assert while_it_votes.steps > 3 * 9  # the other three lanes were done or nearly so


class TestSeams:
    def test_a_wrong_state_is_caught_where_the_next_lane_began(self) -> None:
        model = Scripted(lambda request: "7" if request.subtask_id == "4" else right(request))
        store = InMemoryStore()
        run = solve(Cut(20), model, lanes=4, store=store, run_id="r")
        assert run.status == "unresolved"
        assert run.reason == (
            "segment boundary: the lane that ends before step 5 ended in another state than the one that step 5 began"
            " from"
        )
        drawn = model.drawn
        again = solve(Cut(20), model, lanes=4, store=store, run_id="r")
        assert (again.status, again.reason) == ("unresolved", run.reason)
        assert model.drawn == drawn  # no retry against the truth
        assert [problem.kind for problem in journal.verify(store, "r")] in ([], ["broken succession"])

    def test_more_lanes_over_a_wrong_state_name_the_seam(self) -> None:
        model = Scripted(lambda request: "97" if request.subtask_id == "4" else right(request))
        store = InMemoryStore()
        assert solve(Cut(20), model, store=store, run_id="r", stop=lambda: model.drawn >= 36).steps == 12
        for lanes in (4, 1, 16):
            run = solve(Cut(20), model, lanes=lanes, store=store, run_id="r")
            assert (run.status, run.steps) == ("unresolved", 12)
            assert run.reason.startswith("segment boundary: the lane that ends before step 5")
            assert journal.verify(store, "r") == []

    def test_the_last_lane_must_end_done(self) -> None:
        run = solve(Cut(20, goal=21), Scripted(right), lanes=4)
        assert (run.status, run.reason) == ("unresolved", "wrong_end")


def test_a_lane_at_its_end_does_not_stand_in_for_the_next_one_while_calls_are_waited_for() -> None:
    """The first lane is done, the second waits for its first answers, and the run is asked to stop."""
    task, drawn, released = TowersOfHanoi(4), [0], threading.Event()
    simulated, second = simulated_sampler("sim:error=0", task), str(task.segments(2)[1]["step"])

    async def sample(requests: Sequence[Request]) -> list[Any]:
        if requests[0].subtask_id == second:
            await asyncio.to_thread(released.wait)
        else:
            drawn[0] += len(requests)
        return [*await simulated(requests)]

    def stop() -> bool:
        if done := drawn[0] == 3 * int(second):
            released.set()
        return done

    store = InMemoryStore()
    run = solve(task, sample, k=3, lanes=2, store=store, run_id="a", stop=stop)
    assert (run.status, run.samples) == ("stopped", 3 * int(second) + 3)
    assert journal.header(store, "a")["outcome"]["steps"] == run.steps


def test_once_a_lane_is_unresolved_no_step_starts_elsewhere_and_what_was_decided_is_kept() -> None:
    def stuck(request: Any) -> str:
        return str(100 + request.number) if request.subtask_id == "10" else right(request)

    store, model = InMemoryStore(), Scripted(stuck)
    run = solve(Cut(40), model, lanes=4, store=store, run_id="r", max_samples_per_step=6)
    assert (run.status, run.steps) == ("unresolved", 6)
    assert "step 10" in run.reason
    assert journal.steps(store, "r") == 6
    mended = Scripted(right)
    assert solve(Cut(40), mended, lanes=4, store=store, run_id="r").status == "solved"
    assert {int(request.subtask_id) for batch in mended.batches for request in batch} == {*range(40)} - {
        0, 1, 20, 21, 30, 31,
    }  # fmt: skip


class TestOtherLanesOnResume:
    @pytest.mark.parametrize("counts", [(16, 3, 64, 1), (1, 8, 1), (5, 7, 11, 13), (64, 1)])
    def test_nothing_is_bought_twice(self, counts: Sequence[int]) -> None:
        def some_wrong(request: Any) -> str:
            return "9999" if request.number == int(request.subtask_id) % 4 else right(request)

        store, model = InMemoryStore(), Scripted(some_wrong)
        whole = solve(Cut(200), Scripted(some_wrong))
        for number, lanes in enumerate(counts, 1):
            rounds, limit = count(1), 10**9 if number == len(counts) else 4

            def stop(rounds: Iterator[int] = rounds, limit: int = limit) -> bool:
                return next(rounds) > limit

            run = solve(Cut(200), model, lanes=lanes, store=store, run_id="r", stop=stop)
            assert journal.verify(store, "r") == []
            assert journal.steps(store, "r") == run.steps
        assert (run.status, run.digest, run.samples) == ("solved", whole.digest, whole.samples)
        assert bought_twice(model) == []
        assert list(run.actions()) == ["add"] * 200

    def test_under_a_checkpointer(self) -> None:
        store, model, saver = InMemoryStore(), Scripted(right), InMemorySaver()
        for lanes in (4, 9, 2):
            graph = create_maker(Cut(60), model, lanes=lanes).compile(checkpointer=saver, store=store)
            result = graph.invoke({}, {"configurable": {"thread_id": "t"}, "recursion_limit": 14})
        while result["status"] == "stopped":
            result = graph.invoke({}, {"configurable": {"thread_id": "t"}, "recursion_limit": 14})
        assert result["status"] == "solved"
        assert bought_twice(model) == []

    def test_a_task_that_cuts_elsewhere_is_noticed(self) -> None:
        store = InMemoryStore()
        solve(Cut(20), Scripted(right), lanes=4, store=store, run_id="r", stop=lambda: True)
        header = journal.header(store, "r")
        assert header["sessions"][0]["starts"] == [0, 5, 10, 15]

        class Elsewhere(Cut):
            def segments(self, lanes: int) -> Sequence[Segment]:
                return [{"step": 0, "end": 3, "state": 0}, {"step": 3, "end": 20, "state": 3}]

        with pytest.raises(JournalError, match="cut into other lanes"):
            solve(Elsewhere(20), Scripted(right), lanes=4, store=store, run_id="r")


def test_the_journal_of_lanes_under_way() -> None:
    store = InMemoryStore()
    rounds = iter(range(100))
    solve(Cut(20), Scripted(right), lanes=4, store=store, run_id="r", stop=lambda: next(rounds) > 1)
    assert journal.verify(store, "r") == []
    assert [entry["step"] for entry in journal.read(store, "r")] == [0, 1]
    with pytest.raises(JournalError, match="first 2 steps"):
        journal.fork(store, "r", 3, "other")
    journal.fork(store, "r", 2, "other")
    assert solve(Cut(20), Scripted(right), store=store, run_id="other").status == "solved"
    journal.delete(store, "r")
    assert not [item for item in store.search(("langgraph_maker", "runs"), limit=100) if "r~" in item.namespace]
