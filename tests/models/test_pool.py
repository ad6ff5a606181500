"""Calls in flight: kept across supersteps, counted in the order of issue, never left behind."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from math import sqrt
from random import Random
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langgraph.store.memory import InMemoryStore
from scripted import Counting, right

from langgraph_maker import asolve, create_maker, create_voting_graph, journal, solve
from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.state import Decision, Request, never_waits
from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.models.pool import Pool
from langgraph_maker.tasks import TowersOfHanoi
from langgraph_maker.theory.scaling import p_correct

Answer = Callable[[Request], str]


class Late:
    """A sampler whose every call takes so many turns of the event loop, as `turns` says."""

    def __init__(self, answer: Answer, turns: Callable[[Request], int]) -> None:
        self.answer, self.turns = answer, turns
        self.active = self.most = 0
        self.drawn: list[Request] = []

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            for _ in range(max(self.turns(request) for request in requests)):
                await asyncio.sleep(0)
        finally:
            self.active -= 1
        self.drawn += requests
        return [AIMessage(self.answer(request)) for request in requests]

    def split(self, requests: Sequence[Request]) -> list[list[Request]]:
        return [[request] for request in requests]


def vote(model: Any, ballots: int = 1, **options: Any) -> list[Decision]:
    graph = create_voting_graph(model, prompt=str, parse=str, **options).compile()
    subtasks: Any = [{"id": str(number), "state": number} for number in range(ballots)]
    decisions: list[Decision] = graph.invoke({"subtasks": subtasks}, {"recursion_limit": 100_000})["decisions"]
    return decisions


def by_number(p: float, seed: int = 0) -> Answer:
    """Right with probability p, drawn by ballot and number alone."""
    return lambda request: "right" if Random(f"{seed} {request.subtask_id} {request.number}").random() < p else "wrong"


def left_behind() -> list[Any]:
    """Tasks of the background loop that are not the one that looks."""

    async def look() -> list[Any]:
        await asyncio.sleep(0)
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    return run_sync(look())


class TestOrder:
    @pytest.mark.parametrize("seed", range(6))
    def test_what_is_decided_is_the_same_under_any_order_of_arrival(self, seed: int) -> None:
        answer = by_number(0.7)
        at_once = vote(Late(answer, lambda _: 0), 40)
        random = Random(seed)
        late = vote(Late(answer, lambda _: random.randrange(40)), 40)
        kept = ("status", "vote", "counts", "samples")
        assert [[decision[name] for name in kept] for decision in late] == [  # type: ignore[literal-required]
            [decision[name] for name in kept]  # type: ignore[literal-required]
            for decision in at_once
        ]

    def test_speed_that_goes_with_correctness_does_not_bias_the_vote(self) -> None:
        answer, ballots = by_number(0.7, seed=1), 1500
        slow_if_right = Late(answer, lambda request: 30 if answer(request) == "right" else 1)
        wrong = sum(decision["vote"] == "wrong" for decision in vote(slow_if_right, ballots, k=2))
        expected = 1 - p_correct(0.7, 2)
        assert abs(wrong / ballots - expected) < 3 * sqrt(expected * (1 - expected) / ballots)

    def test_with_hedges_it_does(self) -> None:  # by how much: documented in sample_node
        answer, ballots = by_number(0.7, seed=1), 1500
        slow_if_right = Late(answer, lambda request: 30 if answer(request) == "right" else 1)
        wrong = sum(decision["vote"] == "wrong" for decision in vote(slow_if_right, ballots, k=2, hedge=2))
        expected = 1 - p_correct(0.7, 2)
        assert wrong / ballots > expected + 6 * sqrt(expected * (1 - expected) / ballots)

    def test_hedges_that_differ_in_nothing_but_luck_bias_nothing(self) -> None:
        answer, random, ballots = by_number(0.7, seed=2), Random(5), 1500
        late = Late(answer, lambda _: random.randrange(30))
        wrong = sum(decision["vote"] == "wrong" for decision in vote(late, ballots, k=2, hedge=2))
        expected = 1 - p_correct(0.7, 2)
        assert abs(wrong / ballots - expected) < 3 * sqrt(expected * (1 - expected) / ballots)


class TestHedge:
    def test_the_slowest_is_not_waited_for_and_told_as_cancelled(self) -> None:
        async def stuck(requests: Sequence[Request]) -> list[AIMessage]:
            if requests[0].number == 1:
                await asyncio.Event().wait()
            return [AIMessage("A") for _ in requests]

        [decision] = vote(stuck, hedge=1)
        assert (decision["status"], decision["samples"], decision["cancelled"]) == ("decided", 3, 1)
        assert left_behind() == []

    def test_a_run_counts_what_it_cancelled(self) -> None:
        late = Late(right, lambda request: request.number * 50)
        run = solve(Counting(6), late, hedge=2, store=InMemoryStore())
        assert (run.status, run.steps) == ("solved", 6)
        assert run.samples + run.cancelled == 6 * 5
        assert run.cancelled > 0

    @pytest.mark.parametrize("hedge", [-1, 1.5, True, "1", 101])
    def test_hedges_that_are_none(self, hedge: Any) -> None:
        with pytest.raises(ValueError, match="hedge is a whole number from 0 to 100"):
            vote(Late(right, lambda _: 0), hedge=hedge)

    def test_what_was_lost_uses_up_no_budget(self) -> None:
        down, store = threading.Event(), InMemoryStore()
        down.set()

        async def sampler(requests: Sequence[Request]) -> list[AIMessage | Exception]:
            if down.is_set() and requests[0].number > 1:
                return [PermissionError("no")]
            return [AIMessage("0" if request.number == 0 else right(request)) for request in requests]

        first = solve(Counting(2), sampler, hedge=1, max_samples_per_step=5, run_id="a", store=store)
        assert (first.status, first.samples) == ("stopped", 2)
        down.clear()
        assert solve(Counting(2), sampler, hedge=1, max_samples_per_step=5, run_id="a", store=store).status == "solved"

    @pytest.mark.parametrize(("before", "after"), [(1, 0), (2, 0), (0, 2)])
    def test_a_run_that_goes_on_without_its_hedges_draws_no_sample_twice(self, before: int, after: int) -> None:
        down, store, drawn = threading.Event(), InMemoryStore(), Counter[tuple[str, int]]()
        down.set()

        async def sampler(requests: Sequence[Request]) -> list[AIMessage | Exception]:
            [request] = requests
            if down.is_set() and request.number == 1:
                return [PermissionError("no")]  # lost, and not the last that was issued
            drawn[request.subtask_id, request.number] += 1
            return [AIMessage("0" if request.number == 0 else right(request))]

        sampler.split = lambda requests: [[one] for one in requests]  # type: ignore[attr-defined]
        assert solve(Counting(2), sampler, hedge=before, run_id="a", store=store).status == "stopped"
        down.clear()
        run = solve(Counting(2), sampler, hedge=after, run_id="a", store=store)
        assert (run.status, run.samples) == ("solved", sum(drawn.values()))
        assert set(drawn.values()) == {1}
        votes = [entry["votes"] for entry in journal.read(store, "a")]
        assert after or sum(votes) == run.samples  # no flags: whatever arrived counts, but for late hedges

    def test_none_goes_beyond_the_budget(self) -> None:
        late = Late(lambda request: str(request.number), lambda _: 0)
        [decision] = vote(late, hedge=5, max_samples_per_step=7)
        assert (decision["status"], len(late.drawn)) == ("unresolved", 7)


class TestOwnBallotOnly:
    def test_a_call_that_hangs_holds_back_one_lane(self) -> None:
        """The first call of step 0 is answered only once all other lanes are at their end."""
        task = TowersOfHanoi(6)
        done = threading.Event()

        async def sampler(requests: Sequence[Request]) -> list[AIMessage]:
            while requests[0].subtask_id == "0" and not done.is_set():
                await asyncio.sleep(0.001)
            return [AIMessage(task.render(task.oracle(task.read_state(request.messages)))) for request in requests]

        def watch(now: Any) -> None:
            if now.lanes == 1:  # all but the one that waits
                done.set()

        run = solve(task, sampler, lanes=8, on_progress=watch)
        assert (run.status, run.steps) == ("solved", 63)
        assert done.is_set()

    def test_a_hung_call_is_given_up_and_made_again(self) -> None:
        hung = Counter[str]()

        async def sampler(requests: Sequence[Request]) -> list[AIMessage]:
            hung[requests[0].subtask_id] += 1
            if hung[requests[0].subtask_id] == 1 and requests[0].subtask_id == "2":
                await asyncio.Event().wait()
            return [AIMessage(right(request)) for request in requests]

        run = solve(Counting(4), sampler, call_timeout=0.05)
        assert (run.status, run.samples, hung["2"]) == ("solved", 12, 2)


class TestNothingLeft:
    """No task outlives the graph that issued it."""

    def test_after_an_error_in_a_task(self) -> None:
        class Buggy(TowersOfHanoi):
            def advance(self, state: Any, vote: Any) -> Any:
                raise KeyError("bug")

        forever = Late(lambda _: "", lambda request: 0 if request.subtask_id == "0" else 10**9)
        task = Buggy(5)
        forever.answer = lambda request: task.render(task.oracle(task.read_state(request.messages)))
        with pytest.raises(KeyError, match="bug"):
            solve(task, forever, lanes=4)
        assert left_behind() == []

    def test_after_a_stop_what_is_out_is_counted(self) -> None:
        asked = threading.Event()

        def turns(request: Request) -> int:
            asked.set()
            return 50

        late = Late(right, turns)
        store = InMemoryStore()
        run = solve(Counting(9), late, store=store, run_id="r", stop=asked.is_set)
        assert (run.status, run.samples) == ("stopped", len(late.drawn))
        assert left_behind() == []
        assert solve(Counting(9), late, store=store, run_id="r").samples == len(late.drawn) == 27

    async def test_after_a_cancellation_and_it_goes_on(self) -> None:
        store, gate = InMemoryStore(), asyncio.Event()
        late = Late(right, lambda request: 10**9 if request.subtask_id == "3" and not gate.is_set() else 3)
        running = asyncio.create_task(asolve(Counting(6), late, store=store, run_id="r"))
        while not (late.active and late.drawn and late.drawn[-1].subtask_id == "2"):
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
        gate.set()
        run = await asolve(Counting(6), late, store=store, run_id="r")
        assert (run.status, run.samples) == ("solved", 18)
        drawn = Counter((request.subtask_id, request.number) for request in late.drawn)
        assert set(drawn.values()) == {1}  # what was in flight had not arrived, and is issued again

    def test_after_a_failure_what_came_beside_it_is_kept(self) -> None:
        failing = [True]

        async def sampler(requests: Sequence[Request]) -> list[AIMessage | Exception]:
            return [
                PermissionError("no")
                if failing[0] and (request.subtask_id, request.number) == ("1", 1)
                else AIMessage(right(request))
                for request in requests
            ]

        store = InMemoryStore()
        run = solve(Counting(3), sampler, store=store, run_id="r")
        assert (run.status, run.steps, run.samples) == ("stopped", 1, 5)
        failing[0] = False
        assert solve(Counting(3), sampler, store=store, run_id="r").samples == 9

    def test_a_graph_given_up_between_supersteps_leaves_nothing_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("langgraph_maker.models.pool._ORPHANED", 0.01)
        late = Late(lambda _: "A", lambda request: 10**9 if request.subtask_id == "b" else 0)

        async def give_up() -> int:
            pool = Pool(late)
            asked = [[Request([], 0.0, name, 0)] for name in "ab"]
            [(request, _)] = await pool.collect("r", asked, wanted={"a", "b"}, needed={"a": 1, "b": 1})
            assert request.subtask_id == "a"
            while pool.in_flight("r"):
                await asyncio.sleep(0.001)
            return len(asyncio.all_tasks())

        assert asyncio.run(give_up()) == 1

    @pytest.mark.parametrize("kind", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
    def test_a_sampler_that_raises_what_no_program_should(self, kind: type[BaseException]) -> None:
        async def odd(requests: Sequence[Request]) -> list[AIMessage]:
            raise kind

        with pytest.raises(TypeError, match=f"the sampler raised {kind.__name__}"):
            vote(odd)
        assert vote(Late(lambda _: "A", lambda _: 1))[0]["vote"] == "A"  # the loop is alive

    def test_calls_given_up_while_a_node_was_away_are_issued_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("langgraph_maker.models.pool._ORPHANED", 0.01)
        away = threading.Event()
        late = Late(right, lambda request: 50 if request.subtask_id == "0" and not away.is_set() else 0)
        late.split = lambda requests: [list(requests)]  # type: ignore[method-assign]
        task = TowersOfHanoi(4)
        late.answer = lambda request: task.render(task.oracle(task.read_state(request.messages)))

        def slow_consumer(_: Any) -> None:
            if not away.is_set():
                away.wait(0.1)
                away.set()

        run = solve(task, late, lanes=4, on_progress=slow_consumer)
        assert (run.status, run.samples) == ("solved", 45)

    def test_after_an_error_of_whoever_watches(self) -> None:
        late = Late(right, lambda request: 10**9 if request.subtask_id == "8" else 0)
        task = TowersOfHanoi(4)
        late.answer = lambda request: task.render(task.oracle(task.read_state(request.messages)))

        def watch(_: Any) -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            solve(task, late, lanes=2, on_progress=watch)
        assert left_behind() == []

    def test_two_runs_of_one_graph_do_not_meet(self) -> None:
        late = Late(right, lambda request: Random(request.run_id + request.subtask_id).randrange(30))
        graph = create_maker(Counting(12), late).compile()

        async def both() -> list[Any]:
            return list(await asyncio.gather(*(graph.ainvoke({"run_id": name}) for name in "ab")))

        results = asyncio.run(both())
        assert [(result["status"], result["samples"]) for result in results] == [("solved", 36)] * 2
        assert Counter(request.run_id for request in late.drawn) == {"a": 36, "b": 36}


class BusyError(Exception):
    status_code = 429


class TestConcurrency:
    def test_never_more_calls_than_allowed_and_first_come_first_served(self) -> None:
        late = Late(by_number(1.0), lambda _: 5)
        vote(late, 50, k=1, max_concurrency=4)
        assert late.most == 4
        assert [request.subtask_id for request in late.drawn] == [str(number) for number in range(50)]

    @pytest.mark.parametrize("most", [0, -1, 2.5, True])
    def test_bounds_that_are_none(self, most: Any) -> None:
        with pytest.raises(ValueError, match="max_concurrency is a whole number of at least 1"):
            vote(Late(right, lambda _: 0), max_concurrency=most)

    def test_it_backs_off_where_too_many_are_refused_and_comes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("langgraph_maker.models.retry._FIRST_PAUSE", 0.001)
        monkeypatch.setattr("langgraph_maker.models.retry._LONGEST_PAUSE", 0.01)
        allowed, refusals, pools = [8], Counter[int](), []
        late = Late(by_number(1.0), lambda _: 20)

        async def sampler(requests: Sequence[Request]) -> list[AIMessage | Exception]:
            if late.active >= allowed[0]:
                refusals[allowed[0]] += 1
                return [BusyError("too many")] * len(requests)
            return await late(requests)

        async def run() -> tuple[float, float]:
            pool = Pool(sampler)
            pools.append(pool)
            limits = []
            for bound in (8, 1000):
                allowed[0] = bound
                names = [f"{bound} {number}" for number in range(400)]
                asked = [[Request([], 0.0, name, 0)] for name in names]
                got = await pool.collect(
                    str(bound), asked, wanted={*names}, needed=dict.fromkeys(names, 1), enough=400, stop=lambda: False
                )
                while len(got) < 400:
                    got += await pool.collect(str(bound), [], wanted={*names}, needed={}, enough=400)
                limits.append(pool._limiter().limit or 0.0)
            return limits[0], limits[1]

        tight, loose = asyncio.run(run())
        assert tight < 24
        assert loose > 1.5 * tight
        assert refusals[1000] == 0

    def test_langchains_rate_limiter_is_asked_for_each_call(self) -> None:
        class Counted(InMemoryRateLimiter):
            asked = 0

            async def aacquire(self, *, blocking: bool = True) -> bool:
                Counted.asked += 1
                return True

        model = FakeListChatModel(responses=["A"], rate_limiter=Counted(requests_per_second=1))
        [decision] = vote(model)
        assert Counted.asked == decision["samples"] == 3

    def test_an_error_that_says_nothing_is_tried_five_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("langgraph_maker.models.retry._FIRST_PAUSE", 0.001)
        calls: list[int] = []

        async def odd(requests: Sequence[Request]) -> list[AIMessage]:
            calls.append(len(requests))
            raise ValueError("odd")

        with pytest.raises(SamplingError, match="failed 5 times, the last time with ValueError: odd"):
            vote(odd, k=1)
        assert len(calls) == 5

    def test_stop_is_heard_while_calls_are_made_again(self) -> None:
        failed = threading.Event()

        async def down(requests: Sequence[Request]) -> list[AIMessage | Exception]:
            if requests[0].subtask_id == "0":
                return [AIMessage(right(request)) for request in requests]
            failed.set()
            return [OSError("down")] * len(requests)

        run = solve(Counting(3), down, stop=failed.is_set)
        assert (run.status, run.samples) == ("stopped", 3)
        assert run.reason.startswith("stopped on request")

    def test_stop_is_heard_before_anything_was_answered(self) -> None:
        failed = threading.Event()

        async def down(requests: Sequence[Request]) -> list[AIMessage | Exception]:
            failed.set()
            return [OSError("down")] * len(requests)

        run = solve(Counting(3), down, stop=failed.is_set)
        assert (run.status, run.reason[:18]) == ("stopped", "stopped on request")


@pytest.mark.parametrize(
    ("responses", "said"),
    [
        (None, "gave NoneType, where a list of responses was due"),
        ("AAA", "gave str, where a list of responses was due"),
        ([AIMessage("A")] * 2, "gave 2 responses to 3 requests"),
        ([AIMessage("A"), None, AIMessage("A")], "gave NoneType, where an AIMessage or an exception was due"),
        (["A", "A", "A"], "gave str, where an AIMessage or an exception was due"),
    ],
)
@pytest.mark.parametrize("waits", [True, False])
def test_samplers_that_are_none_are_told_at_once(responses: Any, said: str, waits: bool) -> None:
    async def sampler(requests: Any) -> Any:
        return responses

    with pytest.raises(TypeError, match=said):
        vote(sampler if waits else never_waits(sampler))


def test_a_stop_that_is_taken_back_goes_on() -> None:
    asked = iter([False, False, True])  # then False again
    late = Late(right, lambda request: 2000 if request.subtask_id == "1" else 0)
    run = solve(Counting(3), late, stop=lambda: next(asked, False))
    assert (run.status, run.samples) in {("solved", 9), ("stopped", 6)}


def test_the_awaitable_kind_of_a_sampler() -> None:
    class Answers(Awaitable[list[AIMessage]]):
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return [AIMessage("A")] * 3

    [decision] = vote(lambda requests: Answers())
    assert decision["vote"] == "A"
