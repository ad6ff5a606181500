"""A run that is watched: its outlook, and what becomes of it when its model turns worse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from random import Random
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted, right

from benchmarks.guarantee import Steps, drawn
from langgraph_maker import Progress, Run, asolve, create_maker, journal, solve, theory
from langgraph_maker.core.events import Alarm
from langgraph_maker.core.margin import ByState, RaisableMargin
from langgraph_maker.core.state import Request, never_waits
from langgraph_maker.journal import records, run_data
from langgraph_maker.models.prices import Price
from langgraph_maker.runs.monitor.baseline import Baseline
from langgraph_maker.runs.monitor.monitor import Monitor
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi

STEPS, TURN, WITHIN = 511, 255, 100
SOON = 1900  # samples: some hundred steps after the turn


def turning(seed: int) -> Any:
    """A simulated model with p = 0.99, and from half way on 0.8."""
    task = TowersOfHanoi(9)
    good = simulated_sampler(f"sim:error=0.01,seed={seed}", task)
    bad = simulated_sampler(f"sim:error=0.2,seed={seed}", task)

    @never_waits
    async def sample(requests: Sequence[Request]) -> list[Any]:
        return [
            response
            for request in requests
            for response in await (good if int(request.subtask_id) < TURN else bad)([request])
        ]

    return sample


def of_p(run: Run) -> Alarm:
    """The first alarm about p."""
    assert run.outlook is not None
    return next(alarm for alarm in run.outlook.alarms if alarm["what"] == "p")


def test_a_model_that_turns_worse_half_way() -> None:
    """The alarm comes within 100 steps, k is raised to what p = 0.8 takes or more, and the run solves."""
    store, task = InMemoryStore(), TowersOfHanoi(9)
    run = solve(task, turning(2), k=4, raise_k=True, store=store, run_id="r")
    first = of_p(run)
    assert TURN < first["steps"] <= TURN + WITHIN
    assert first["k"] >= theory.k_min(0.8, STEPS - first["steps"])
    entries = list(journal.read(store, "r"))
    assert all(entry["margin"] == 4 for entry in entries if entry["step"] < first["steps"])
    assert all(entry["margin"] >= first["k"] for entry in entries if entry["step"] >= first["steps"])
    assert run.status == "solved"
    assert journal.verify(store, "r") == []


def test_a_k_by_type_of_step_is_raised_for_all_types() -> None:
    """Even steps go by k = 4, odd ones by 5; p falls half way, and what is raised is lowered for no type."""
    store, k = InMemoryStore(), ByState(lambda step, _: 4 + step % 2, least=4)
    model = drawn(lambda step, _: 0.99 if step < 200 else 0.75, 3)
    run = solve(Steps(400), model, k=k, raise_k=True, store=store, run_id="r", first_temperature=0.1)
    first = of_p(run)
    assert first["k"] > 5
    for entry in journal.read(store, "r"):
        usual = 4 + entry["step"] % 2
        assert entry["margin"] == usual if entry["step"] < first["steps"] else entry["margin"] >= first["k"]
    again = solve(Steps(400), model, k=k, raise_k=True, store=store, run_id="r", first_temperature=0.1)
    assert (again.status, again.digest) == (run.status, run.digest)
    assert journal.verify(store, "r") == []


def test_without_being_asked_k_stays() -> None:
    run = solve(TowersOfHanoi(9), turning(1), k=4, max_total_samples=SOON)
    assert run.outlook is not None
    assert of_p(run)["steps"] <= TURN + WITHIN
    assert not any("k" in alarm for alarm in run.outlook.alarms)


def test_a_raised_k_is_kept_when_the_run_goes_on() -> None:
    store = InMemoryStore()
    spent: list[int] = []

    def stop() -> bool:
        return bool(spent)

    def until_raised(now: Progress) -> None:
        if any("k" in alarm for alarm in now.alarms):
            spent.append(1)

    part = solve(
        TowersOfHanoi(9), turning(1), k=4, raise_k=True, store=store, run_id="r", on_progress=until_raised, stop=stop
    )
    assert part.status == "stopped"
    raised = of_p(part)["k"]
    run = solve(TowersOfHanoi(9), turning(1), k=4, store=store, run_id="r", max_total_samples=SOON)
    assert run.steps > part.steps
    assert all(entry["margin"] >= raised for entry in journal.read(store, "r", part.steps))


def test_alarms_on_the_stream_of_a_graph() -> None:
    k = RaisableMargin(4)
    monitor = Monitor(Baseline(raise_k=True), k=k)
    maker = create_maker(TowersOfHanoi(9), turning(1), k=k, max_total_samples=SOON, observer=monitor)
    graph = maker.compile(store=InMemoryStore())
    events: list[Any] = list(graph.stream({"run_id": "r"}, {"recursion_limit": 100_000}, stream_mode="custom"))
    raised = [event["k"] for event in events if event["event"] == "alarm.raised" and "k" in event]
    assert raised
    assert k.to == max(raised)


def test_an_ordinary_run_has_no_alarms() -> None:
    seen: list[Progress] = []
    run = solve(TowersOfHanoi(9), "sim:error=0.02,flag=0.03", k=4, lanes=64, raise_k=True, on_progress=seen.append)
    assert run.outlook is not None
    assert run.outlook.alarms == []
    assert run.outlook.p.low < 0.98 < run.outlook.p.high
    assert run.outlook.if_equal is not None
    assert run.outlook.if_equal.so_far_at_least < theory.p_full(0.98, 4, STEPS) < 1
    assert run.outlook.so_far_low is None
    assert all(now.alarms == () for now in seen)


def test_progress_has_the_numbers_of_its_moment() -> None:
    seen: list[Progress] = []
    run = solve(TowersOfHanoi(6), "sim:error=0.2", k=6, on_progress=seen.append)
    half = seen[len(seen) // 2].outlook
    assert half is not None
    assert half.steps == seen[len(seen) // 2].steps < run.steps
    assert seen[-1].outlook is not None
    assert seen[-1].outlook.p == run.outlook.p if run.outlook else False
    assert half.to_the_end is not None
    assert half.so_far is not None
    assert half.to_the_end < half.so_far


@pytest.mark.parametrize("seed", range(3))
def test_lanes_raise_no_false_alarm(seed: int) -> None:
    """Ballots that are converged late are the contested ones: what comes late must not look like a change."""
    run = solve(TowersOfHanoi(11), f"sim:error=0.05,flag=0.05,seed={seed}", k=4, lanes=256)
    assert run.outlook is not None
    assert run.outlook.alarms == []


def test_interruptions_do_not_begin_the_tests_anew() -> None:
    """Broken off every 20 steps or so, a run that turns worse half way raises the alarm of a run in one piece."""
    store, parts, raised = InMemoryStore(), 0, list[str]()
    while "p" not in raised:
        parts += 1
        run = solve(TowersOfHanoi(9), turning(1), k=4, store=store, run_id="r", max_total_samples=90 * parts)
        assert run.steps < TURN + WITHIN
        assert run.outlook is not None
        raised += [alarm["what"] for alarm in run.outlook.alarms]
    assert (run.steps > TURN, parts > TURN // 25) == (True, True)
    solve(TowersOfHanoi(9), turning(1), k=4, store=store, run_id="r", max_total_samples=90 * (parts + 10))
    told = [alarm["what"] for alarm in journal.alarms(store, "r")]
    assert told[: len(raised)] == raised
    assert len(set(told)) == len(told)  # each came once


def test_an_alarm_that_the_run_stops_at_does_not_come_again() -> None:
    store, seen = InMemoryStore(), list[Progress]()

    def stop() -> bool:
        return bool(seen) and bool(seen[-1].alarms)

    solve(TowersOfHanoi(9), turning(2), k=4, store=store, run_id="r", on_progress=seen.append, stop=stop)
    told = [alarm["what"] for alarm in journal.alarms(store, "r")]
    assert told
    solve(TowersOfHanoi(9), turning(2), k=4, store=store, run_id="r", max_total_samples=seen[-1].samples + 20)
    assert [alarm["what"] for alarm in journal.alarms(store, "r")].count(told[0]) == 1


def test_a_run_that_goes_on_may_raise_k_after_the_alarm() -> None:
    store = InMemoryStore()
    part = solve(TowersOfHanoi(9), turning(2), k=4, store=store, run_id="r", max_total_samples=1300)
    assert "k" not in of_p(part)
    run = solve(TowersOfHanoi(9), turning(2), k=4, raise_k=True, store=store, run_id="r", max_total_samples=1600)
    assert of_p(run)["k"] >= theory.k_min(0.8, STEPS - part.steps)
    assert of_p(run)["steps"] <= part.steps + 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_nor_do_they_with_lanes(seed: int) -> None:
    """The model turns worse after 1,500 samples, and the run is broken off every 200."""
    task, drawn = TowersOfHanoi(10), 0
    good = simulated_sampler(f"sim:error=0.03,seed={seed}", task)
    bad = simulated_sampler(f"sim:error=0.25,seed={seed}", task)

    @never_waits
    async def sample(requests: Sequence[Request]) -> list[Any]:
        nonlocal drawn
        drawn += len(requests)
        return [*await (good if drawn < 1500 else bad)(requests)]

    store, raised = InMemoryStore(), dict[str, int]()
    for budget in range(200, 4000, 200):
        run = solve(task, sample, k=4, lanes=16, store=store, run_id="r", max_total_samples=budget)
        assert run.outlook is not None
        assert not run.outlook.alarms or drawn > 1500
        raised |= {alarm["what"]: alarm["steps"] for alarm in run.outlook.alarms}
    assert 1500 / 4.3 < raised["p"] < 1500 / 4.3 + 200


def test_what_was_kept_for_alarms_and_then_altered_begins_them_anew() -> None:
    store, options = InMemoryStore(), dict[str, Any](k=3, run_id="r")
    solve(TowersOfHanoi(5), "sim:error=0.01", store=store, max_total_samples=40, **options)
    [item] = [item for item in store.search(records.namespace("r")) if item.key == "kept"]
    altered = item.value["kept"].replace('"climbed": 0', '"climbed": "x"')
    assert altered != item.value["kept"]
    store.put(item.namespace, item.key, {**item.value, "kept": altered}, index=False)
    run = solve(TowersOfHanoi(5), "sim:error=0.01", store=store, **options)
    assert (run.status, run.outlook and run.outlook.alarms) == ("solved", [])


def test_what_is_kept_for_alarms_need_not_be_right() -> None:
    """It is a help; where it is none of this version's, or of other expectations, the tests begin anew."""
    store, against = InMemoryStore(), dict.fromkeys(("p", "flagged", "cost_per_step", "audit_k"))
    several: list[dict[str, Any]] = [
        {"against": against},
        {"against": None, "seen": 7},
        {"seen": []},
    ]
    for kept in several:
        store.batch([run_data.put_observer_state("r", kept)])
        assert solve(TowersOfHanoi(4), "sim:error=0.01", store=store, run_id="r", max_total_samples=9).steps > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_going_on_raises_no_false_alarm(seed: int) -> None:
    """What was open when a run broke off was contested more often than not, and is decided first."""
    store, alarms = InMemoryStore(), 0
    for part in range(1, 12):
        run = solve(
            TowersOfHanoi(12),
            f"sim:error=0.05,seed={seed}",
            k=4,
            lanes=1024,
            store=store,
            run_id="r",
            max_total_samples=part * 1700 if part < 11 else None,
        )
        assert run.outlook is not None
        alarms += len(run.outlook.alarms)
    assert (run.status, alarms) == ("solved", 0)


def test_undecided_steps_against_their_law() -> None:
    """Where all steps are alike the law holds; a model with hard steps leaves more undecided."""
    even = solve(TowersOfHanoi(10), "sim:error=0.1,flag=0.05", k=3, lanes=64).outlook
    hard = solve(TowersOfHanoi(10), "sim:error=0.01,hard=0.1,confusion=0.4", k=3, lanes=64).outlook
    assert even is not None
    assert hard is not None
    for samples in (3, 4, 5, 6):
        spread = 5 * even.undecided_law[samples] ** 0.5  # missed with probability 6e-7
        assert abs(even.undecided[samples] - even.undecided_law[samples]) < spread
    assert hard.undecided[9] > 3 * hard.undecided_law[9]


def test_projections() -> None:
    def priced(request: Request) -> AIMessage:
        usage: Any = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        return AIMessage(right(request), usage_metadata=usage, response_metadata={"model_name": "gpt-4.1-mini"})

    seen: list[Progress] = []
    run = solve(Counting(10), Scripted(priced), on_progress=seen.append)
    now = seen[3].outlook
    assert now is not None
    assert (now.samples, now.samples_projected) == (12, 30)
    assert now.cost_projected == pytest.approx(run.usage["cost"])
    assert now.seconds_left is not None


async def test_the_guarantee_in_plain_words() -> None:
    run = await asolve(TowersOfHanoi(8), "sim:error=0.05,seed=2", k=4)
    assert run.guarantee.startswith("no error in 255 steps with probability 0.99")
    assert "if samples err independently, equally often at every step, and less often than not" in run.guarantee
    assert "without equal steps no bound is known: of 255 steps up to " in run.guarantee
    assert run.guarantee.endswith("; first votes are drawn at another temperature, and may have another p")
    assert asdict(run)["outlook"]["p"]["value"] == pytest.approx(0.947, abs=1e-3)
    alone = solve(Counting(3), Scripted(right), k=1)
    assert "k = 1" in alone.guarantee


def test_a_cost_that_leads_beyond_what_may_be_spent() -> None:
    def dear(request: Request) -> AIMessage:
        usage: Any = {"input_tokens": 0, "output_tokens": 10_000, "total_tokens": 10_000}
        return AIMessage(right(request), usage_metadata=usage, response_metadata={"model_name": "gpt-4.1-mini"})

    each = 3 * 10_000 * 1.6e-6  # dollars a step
    run = solve(Counting(400), Scripted(dear), max_cost=400 * each / 1.5, red_flags=None, price=Price(0, 1.6))
    assert run.status == "stopped"
    assert run.outlook is not None
    assert [alarm["what"] for alarm in run.outlook.alarms] == ["cost"]
    assert run.outlook.alarms[0]["steps"] < 250


class TestNoFalseAlarms:
    """Constant models, in the ways in which a run can be uneven all the same."""

    @staticmethod
    def raised(run: Run) -> list[str]:
        assert run.outlook is not None
        return [alarm["finding"] for alarm in run.outlook.alarms]

    @pytest.mark.parametrize("hedge", [0, 1])
    def test_answers_that_arrive_one_by_one_in_many_lanes(self, hedge: int) -> None:
        task, random = TowersOfHanoi(10), Random(1)
        inner = simulated_sampler("sim:error=0.1,flag=0.05,seed=1", task)

        async def slow(requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
            async def one(request: Request) -> AIMessage | Exception:
                await asyncio.sleep(random.expovariate(200))
                return (await inner([request]))[0]

            return await asyncio.gather(*map(one, requests))

        run = solve(task, slow, k=5, lanes=256, hedge=hedge)
        assert (run.status, self.raised(run)) == ("solved", [])

    def test_many_flags_in_many_lanes(self) -> None:
        run = solve(TowersOfHanoi(11), "sim:error=0.1,flag=0.4", k=5, lanes=512)
        assert self.raised(run) == []

    @pytest.mark.parametrize("k", [lambda step: 3 if step < 300 else 9, lambda step: 9 if step < 300 else 3])
    def test_a_margin_that_changes(self, k: Callable[[int], int]) -> None:
        run = solve(TowersOfHanoi(9), "sim:error=0.05,flag=0.03", k=k)
        assert (run.status, self.raised(run)) == ("solved", [])


def test_an_observer_need_not_answer() -> None:
    seen: list[Any] = []
    assert solve(TowersOfHanoi(3), "sim:error=0.01", observer=seen.append).status == "solved"
    assert seen[-1]["event"] == "run.ended"
