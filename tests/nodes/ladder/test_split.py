"""A hard subtask in sub-steps: each decided by a vote of its own, and joined to the subtask's vote."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from forked import ran
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Scripted
from typer.testing import CliRunner

from langgraph_maker import Grouped, Split, asolve, create_maker, create_voting_graph, journal, solve
from langgraph_maker.cli import app
from langgraph_maker.core.ballot import outcome_of
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.grouped import headed
from langgraph_maker.core.matchers import within
from langgraph_maker.core.red_flags import RedFlag, TokenLimit
from langgraph_maker.core.state import Request, Sampler, never_waits
from langgraph_maker.core.task import Decomposable, State, Task, Vote
from langgraph_maker.journal import run_data
from langgraph_maker.journal.databases import open_store
from langgraph_maker.models.prices import Price
from langgraph_maker.nodes.ladder import AskHuman, Tier
from langgraph_maker.nodes.ladder.split import Splitting
from langgraph_maker.report import numbers, page
from langgraph_maker.simulation.chat_model import simulated_sampler
from langgraph_maker.tasks import TowersOfHanoi

LADDER: list[Any] = [Tier(samples=5), Split()]


class Fine(Counting):
    """From `start` to `end`, a number at a time."""

    name = "fine"

    def __init__(self, start: int, end: int, steps: int | None = None) -> None:
        super().__init__(steps, end)
        self.start = start

    def initial_state(self) -> State:
        return self.start

    def prompt(self, state: State) -> list[BaseMessage]:
        return [HumanMessage(f"{state} by one")]


class Tens(Counting):
    """Counts by ten; a subtask can be done in steps of one."""

    name = "tens"

    def __init__(self, subtasks: int = 3) -> None:
        super().__init__(subtasks, 10 * subtasks)

    def prompt(self, state: State) -> list[BaseMessage]:
        return [HumanMessage(f"{state} by ten")]

    def validate(self, state: State, vote: Vote) -> RedFlag | None:
        return RedFlag("backwards") if vote["next_state"] < state else None

    def split(self, state: State) -> Task:
        return Fine(state, state + 10, 10)

    def join(self, state: State, votes: Sequence[Vote]) -> Vote:
        return {"action": "add", "next_state": votes[-1]["next_state"]}

    def segments(self, lanes: int) -> Any:
        size = -(-(self.steps or 0) // lanes)
        starts = range(0, self.steps or 0, size)
        return [{"step": at, "end": min(at + size, self.steps or 0), "state": 10 * at} for at in starts]


def by_one(request: Request) -> bool:
    return request.messages[0].text.endswith("by one")


def number(request: Request) -> int:
    return int(request.messages[0].text.split()[0])


def level(*tens: int, fine: Callable[[Request], str] | None = None) -> Callable[[Request], str]:
    """Gives two answers in turns to the subtasks from these states, and is right else."""

    def answer(request: Request) -> str:
        if by_one(request):
            return fine(request) if fine else str(number(request) + 1)
        if request.messages[0].text.endswith("by two"):
            return str(number(request) + 2)
        return str(number(request) + 10 + (request.number % 2 if number(request) in tens else 0))

    return answer


def entry_of(store: InMemoryStore, step: int) -> Any:
    return next(journal.read(store, "a", step))


def hesitant() -> Sampler:
    """Is right, but for a subtask from 10; hedges come late: while the sub-step from 18 is under way."""
    gate, out, asked = asyncio.Event(), list[Request](), dict[int, int]()

    async def model(requests: Sequence[Request]) -> list[AIMessage]:
        [request] = requests
        at, fine = number(request), by_one(request)
        asked[at] = asked.get(at, 0) + fine
        if fine and at == 18:
            gate.set()
            while out:
                await asyncio.sleep(0)
        elif asked[at] > 3 or (at == 10 and not fine and request.number >= 4):
            out.append(request)
            await gate.wait()
            out.remove(request)
        return [AIMessage(f"{'fine' if fine else 'ten'} {level(10)(request)}")]

    return model


class TestDecided:
    def test_a_subtask_that_does_not_settle_is_done_in_finer_steps(self) -> None:
        store, model = InMemoryStore(), Scripted(level(10))
        run = solve(Tens(), model, k=3, store=store, run_id="a", ladder=LADDER)
        assert (run.status, run.final_state, run.steps) == ("solved", 30, 3)
        assert run.samples == model.drawn == 3 + (5 + 10 * 3) + 3
        hard = entry_of(store, 1)
        assert (hard["finer"], hard["tier"], hard["margin"], hard["votes"], hard["winner_votes"]) == (10, 1, 3, 30, 30)
        assert (hard["samples"], hard["vote"]) == (35, {"action": "add", "next_state": 20})
        assert [entry_of(store, step)["finer"] for step in (0, 2)] == [0, 0]
        assert journal.verify(store, "a") == []

    def test_without_a_store_and_in_asynchronous_code_it_is_the_same(self) -> None:
        once = create_maker(Tens(), Scripted(level(10)), k=3, ladder=LADDER).compile().invoke({})
        assert (once["status"], once["final_state"], once["actions"], once["samples"]) == (
            "solved",
            30,
            ["add"] * 3,
            41,
        )
        run = asyncio.run(asolve(Tens(), Scripted(level(10)), k=3, ladder=LADDER))
        assert (run.status, run.samples, run.digest) == ("solved", 41, once["digest"])

    def test_the_decision_is_the_same_as_if_the_subtask_had_been_voted_on(self) -> None:
        plain = solve(Tens(), Scripted(level()), k=3)
        assert solve(Tens(), Scripted(level(10)), k=3, ladder=LADDER).digest == plain.digest

    def test_lanes_beside_it_go_on(self) -> None:
        model = Scripted(level(0))
        run = solve(Tens(8), model, k=3, lanes=4, ladder=LADDER)
        assert (run.status, run.samples) == ("solved", 8 * 3 + 5 + 27)
        others = max(at for at, one in enumerate(model.batches) if any(not by_one(request) for request in one))
        first = min(at for at, one in enumerate(model.batches) if any(map(by_one, one)))
        assert first < others, "no lane waits for the sub-steps"

    def test_the_first_sample_of_each_finer_step_is_drawn_as_a_first_one(self) -> None:
        model = Scripted(level(0))
        solve(Tens(1), model, k=2, ladder=LADDER)
        drawn = [request for one in model.batches for request in one if by_one(request)]
        assert [request.temperature for request in drawn[:4]] == [0.0, 0.1, 0.0, 0.1]

    def test_with_hedges_no_late_vote_counts_for_the_next_finer_step(self) -> None:
        async def model(requests: Sequence[Request]) -> list[AIMessage]:
            return [AIMessage(level(10)(request)) for request in requests]

        store = InMemoryStore()
        run = solve(Tens(), model, k=3, hedge=2, store=store, run_id="a", ladder=LADDER)
        assert (run.status, run.final_state) == ("solved", 30)
        entry = entry_of(store, 1)
        assert (entry["finer"], entry["margin"], entry["votes"], entry["winner_votes"]) == (10, 3, 30, 30)

    def test_a_late_answer_to_another_step_is_paid_for_and_counts_for_nothing(self) -> None:
        """Hedges of the subtask and of its sub-steps stay out until the last but one of these is asked about."""

        class Strict(Fine):
            def parse(self, text: str) -> Vote:
                return super().parse(dict([text.split()])["fine"])

            def validate(self, state: State, vote: Vote) -> RedFlag | None:
                return RedFlag("not_next") if vote["next_state"] != state + 1 else None

        class Told(Tens):
            def parse(self, text: str) -> Vote:
                return super().parse(dict([text.split()])["ten"])

            def split(self, state: State) -> Task:
                return Strict(state, state + 10, 10)

        store = InMemoryStore()
        ladder: list[Any] = [Tier(samples=6), Split()]
        run = solve(Told(), hesitant(), k=3, max_samples_per_step=9, hedge=2, store=store, run_id="a", ladder=ladder)
        assert (run.status, run.final_state, run.flagged) == ("solved", 30, 0)
        entry = entry_of(store, 1)
        assert (entry["finer"], entry["margin"], entry["votes"], entry["winner_votes"]) == (10, 3, 30, 30)
        assert entry["samples"] > 6 + 30 + 8, "late answers are counted as drawn"

    def test_a_group_goes_on_step_by_step(self) -> None:
        def answer(request: Request) -> str:
            state = int(request.messages[0].text.split()[0])
            if "steps" not in request.messages[0].text:
                return str(state + 1)
            wrong = request.number % 2 if state == 3 else 0
            return headed([str(state + 1 + wrong), *(str(state + 1 + more) for more in (1, 2) if state + more < 8)])

        store, task = InMemoryStore(), Grouped(Counting(8), 3)
        assert isinstance(task, Decomposable)
        run = solve(task, Scripted(answer), k=3, store=store, run_id="a", ladder=LADDER)
        assert (run.status, run.final_state) == ("solved", 8)
        assert [entry["finer"] for entry in journal.read(store, "a")] == [0, 3, 0]
        assert entry_of(store, 1)["vote"] == {"action": ["add"] * 3, "next_state": [4, 5, 6]}

    @pytest.mark.parametrize(
        ("options", "flagged"), [({}, 1), ({"red_flags": TokenLimit(4500)}, 0), ({"red_flags": None}, 0)]
    )
    def test_its_single_steps_have_the_default_limit_of_single_steps(self, options: Any, flagged: int) -> None:
        def answer(request: Request) -> AIMessage:
            state, grouped = number(request), "steps" in request.messages[0].text
            tokens = 4000 if grouped or (state == 4 and request.temperature == 0) else 750
            usage: Any = {"input_tokens": 1, "output_tokens": tokens, "total_tokens": tokens + 1}
            text = headed([str(state + 1 + request.number % 2), *map(str, range(2, 7))])
            return AIMessage(text if grouped else str(state + 1), usage_metadata=usage)

        options = {"k": 3, "ladder": LADDER, "steps_per_subtask": 6, **options}
        run = solve(Counting(6), Scripted(answer), **options)
        assert (run.status, run.flagged) == ("solved", flagged)
        made = create_maker(Counting(6), Scripted(answer), **options).compile().invoke({})
        assert (made["status"], made["flagged"]) == ("solved", flagged)

    def test_a_short_last_group_has_as_many_finer_steps_as_are_left(self) -> None:
        task = Grouped(Counting(5), 3)
        chain = task.split(3)
        state, steps = chain.initial_state(), 0
        while not chain.is_done(state):
            state, steps = chain.advance(state, chain.parse(str(4 + steps))), steps + 1
        assert (steps, state["state"]) == (2, 5)

    def test_a_simulated_model_answers_finer_prompts_too(self) -> None:
        store = InMemoryStore()
        run = solve(
            TowersOfHanoi(6),
            "sim:error=0.2,seed=1",
            k=6,
            steps_per_subtask=6,
            ladder=[Tier(samples=30), Split()],
            store=store,
            run_id="a",
        )
        assert (run.status, run.steps) == ("solved", 11)
        assert {entry["finer"] for entry in journal.read(store, "a")} >= {0, 6}
        assert run.digest == solve(TowersOfHanoi(6), "sim:error=0", steps_per_subtask=6).digest

    def test_so_it_does_for_a_task_of_ones_own(self) -> None:
        class OwnFine(Fine):
            def oracle(self, state: State) -> Vote:
                return {"action": "add", "next_state": state + 1}

            def read_state(self, messages: Sequence[BaseMessage]) -> State:
                return int(messages[0].text.removesuffix(" by one"))

            def render(self, vote: Vote) -> str:
                return str(vote["next_state"])

        class Own(Tens):
            def oracle(self, state: State) -> Vote:
                return {"action": "add", "next_state": state + 10}

            def read_state(self, messages: Sequence[BaseMessage]) -> State:
                return int(messages[0].text.removesuffix(" by ten"))

            render = OwnFine.render

            def split(self, state: State) -> Task:
                return OwnFine(state, state + 10, 10)

        sampler: Any = simulated_sampler("sim:error=0", Own())
        requests = [Request(task.prompt(7), 0.1, "0", 0) for task in (Own(), OwnFine(0, 10))]
        assert [message.text for message in asyncio.run(sampler(requests))] == ["17", "8"]


class TestHonest:
    def test_a_finer_step_takes_the_k_of_the_run_and_of_the_first_tier(self) -> None:
        for k, first, led in ((5, None, 5), (3, 6, 6)):
            store = InMemoryStore()
            solve(Tens(1), Scripted(level(0)), k=k, store=store, run_id="a", ladder=[Tier(k=first, samples=8), Split()])
            assert (entry_of(store, 0)["margin"], entry_of(store, 0)["votes"]) == (led, 10 * led)

    def test_each_step_has_its_own_k(self) -> None:
        store = InMemoryStore()
        solve(Tens(), Scripted(level(10)), k=lambda step: 2 + step, store=store, run_id="a", ladder=LADDER)
        assert [entry["margin"] for entry in journal.read(store, "a")] == [2, 3, 4]

    def test_the_least_lead_is_what_is_journalled_and_lost_votes_are(self) -> None:
        def fine(request: Request) -> str:
            return str(number(request) + 1 + (number(request) == 4 and request.temperature == 0))

        store = InMemoryStore()
        solve(Tens(1), Scripted(level(0, fine=fine)), k=3, store=store, run_id="a", ladder=LADDER)
        entry = entry_of(store, 0)
        assert (entry["margin"], entry["votes"], entry["winner_votes"]) == (3, 9 * 3 + 5, 9 * 3 + 4)

    @pytest.mark.parametrize("leads", [(3, 5), (5, 3)])
    def test_the_least_of_the_leads_is_kept(self, leads: tuple[int, int]) -> None:
        task, inner = Splitting(Tens()), dict[str, Any](state=8, winners=[], margin=0, votes=0, winner_votes=0)
        for at, lead in enumerate(leads, 9):
            vote = {"action": "add", "next_state": at}
            ballot: Any = {"state": 0, "counts": {"a": lead}, "votes": {"a": vote}, "inner": inner}
            ballot["outcome"] = outcome_of(ballot["counts"], ballot["votes"])
            inner = cast("dict[str, Any]", task.after(ballot))
        assert (inner["margin"], inner["votes"]) == (3, 8)

    def test_finer_steps_go_by_a_k_that_is_raised_between_them(self) -> None:
        """Those that were decided by less are voted on again."""
        store, model = InMemoryStore(), Scripted(level(0))
        options: dict[str, Any] = {"store": store, "run_id": "a", "max_total_samples": 20}
        first = solve(Tens(1), model, k=lambda _: 3, ladder=LADDER, **options)
        assert (first.status, first.steps) == ("stopped", 0)
        [ballot] = journal.open_ballots(store, "a")
        assert cast("Any", ballot)["inner"]["margin"] == 3
        options["max_total_samples"] = None
        done = solve(Tens(1), model, k=lambda _: 4, ladder=[Tier(samples=6), Split()], **options)
        assert (done.status, entry_of(store, 0)["margin"], done.samples) == ("solved", 4, 20 + 10 * 4)

    def test_the_same_pair(self) -> None:
        """Action and next state of a sub-step come from one vote, and the last one's are handed on."""

        class Named(Fine):
            def parse(self, text: str) -> Vote:
                return {"action": text, "next_state": int(text.split(maxsplit=1)[0])}

        class Told(Tens):
            def split(self, state: State) -> Task:
                return Named(state, state + 10, 10)

            def join(self, state: State, votes: Sequence[Vote]) -> Vote:
                assert all(int(vote["action"].split()[0]) == vote["next_state"] for vote in votes)
                return {"action": [vote["action"] for vote in votes], "next_state": votes[-1]["next_state"]}

        def fine(request: Request) -> str:
            return f"{number(request) + 1} by {'me' if request.number % 4 else 'you'}"

        store = InMemoryStore()
        run = solve(Told(1), Scripted(level(0, fine=fine)), k=2, store=store, run_id="a", ladder=LADDER)
        assert (run.status, run.final_state) == ("solved", 10)
        actions = entry_of(store, 0)["vote"]["action"]
        assert [int(action.split()[0]) for action in actions] == list(range(1, 11))

    def test_p_is_not_estimated_from_it_and_the_guarantee_says_so(self) -> None:
        store = InMemoryStore()
        run = solve(Tens(), Scripted(level(10)), k=3, store=store, run_id="a", ladder=LADDER)
        assert run.outlook is not None
        assert (run.outlook.by_split, run.outlook.climbed, run.outlook.by_human) == (1, 1, 0)
        assert run.votes_per_step == [0, 0, 0, 2], "the votes of sub-steps are none on the step"
        assert "1 was done in sub-steps, each by a vote of its own, of which p says nothing" in run.guarantee
        found = numbers(store, "a")
        assert (found["totals"]["by_split"], found["least_margin"], found["undercut"]) == (1, 3, 0)
        text = page(found)
        assert "1 in sub-steps and each other by a lead of at least 3 votes" in text
        assert "10 sub-steps, with all their votes" in text

    def test_flags_of_its_many_samples_raise_no_alarm(self) -> None:
        """The alarm counts steps with a flag, of which a step that takes ten votes has more."""
        told: list[Any] = []
        flagged = level(10, fine=lambda request: "flag" if request.temperature == 0 else str(number(request) + 1))
        run = solve(Tens(), Scripted(flagged), k=3, ladder=LADDER, observer=told.append)
        assert (run.status, run.flagged) == ("solved", 10)
        assert told[-1]["totals"]["flagged_steps"] == 0

    def test_alone_it_says_nothing_of_p(self) -> None:
        run = solve(Tens(1), Scripted(level(0)), k=3, ladder=LADDER)
        assert run.guarantee.startswith("not known: no step was decided by a vote")

    def test_what_is_told_of_it(self) -> None:
        told: list[Any] = []
        solve(Tens(1), Scripted(level(0)), k=3, ladder=LADDER, detail="ballots", observer=told.append)
        [climb] = [event for event in told if event["event"] == "step.escalated"]
        assert (climb["tier"], climb["audit"]) == (1, False)
        [step] = [event for event in told if event["event"] == "step.decided"]
        assert (step["finer"], step["margin"]) == (10, 3)
        assert {one["vote"]["next_state"] for one in step["counts"]} == {10, 11}, "what did not converge it"
        assert told[-2]["totals"]["by_split"] == 1

    def test_the_ballots_of_its_finer_steps_are_told_where_ballots_are(self) -> None:
        def fine(request: Request) -> str:
            return str(number(request) + 1 + (number(request) == 4 and request.temperature == 0))

        for detail in ("round", "ballots"):
            told: list[Any] = []
            store, options = InMemoryStore(), {"ladder": LADDER, "detail": detail, "observer": told.append}
            solve(Tens(1), Scripted(level(0, fine=fine)), k=3, store=store, run_id="a", **cast("Any", options))
            steps = [event for event in told if event["event"] == "substep.decided"]
            if detail == "round":
                assert steps == []
                continue
            assert [(one["step"], one["finer"], one["vote"]["next_state"]) for one in steps] == [
                (0, at, at + 1) for at in range(10)
            ]
            counted = [[(one["vote"]["next_state"], one["count"]) for one in step["counts"]] for step in steps]
            assert counted == [[(at + 1, 3)] if at != 4 else [(6, 1), (5, 4)] for at in range(10)]
            entry = entry_of(store, 0)
            assert entry["margin"] == min(step["margin"] for step in steps)
            assert entry["votes"] == sum(count for step in counted for _, count in step)

    def test_an_error_that_an_audit_finds_is_mended_in_finer_steps(self) -> None:
        class Varied(Tens):
            variants = 2

            def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
                return [HumanMessage(f"{state} {'and 10' * variant or 'by ten'}")]

        def answer(request: Request) -> str:
            repeats = request.messages[0].text == "10 by ten"
            return "21" if repeats else level()(request)

        store = InMemoryStore()
        run = solve(Varied(), Scripted(answer), k=3, store=store, run_id="a", ladder=LADDER, audit=1.0)
        assert (run.status, run.final_state) == ("solved", 30)
        entry = entry_of(store, 1)
        assert (entry["audits"], entry["disagreed"], entry["finer"]) == (1, 1, 10)

    def test_it_is_not_audited(self) -> None:
        class Varied(Tens):
            variants = 2

            def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
                return [HumanMessage(f"{state} by ten{'!' * variant}")]

        run = solve(Varied(), Scripted(level(0, 10, 20)), k=3, ladder=LADDER, audit=1.0)
        assert run.outlook is not None
        assert (run.status, run.outlook.audits) == ("solved", 0)


def stuck(at: int) -> Callable[[Request], str]:
    """Two answers in turns at the sub-step from this number."""
    return lambda request: str(number(request) + 1 + (request.number % 2 if number(request) == at else 0))


class TestUnresolved:
    def test_a_finer_step_that_does_not_settle_is_reported(self) -> None:
        model = Scripted(level(10, fine=stuck(14)))
        store = InMemoryStore()
        run = solve(Tens(), model, k=3, max_samples_per_step=9, store=store, run_id="a", ladder=LADDER)
        assert (run.status, run.steps, run.final_state) == ("unresolved", 1, 10)
        assert "step 1: sub-step 4: no answer led by the margin" in run.reason
        assert run.samples == model.drawn == 3 + 5 + 4 * 3 + 9
        assert numbers(store, "a")["open_ballots"][0]["inner"] == "sub-step 4"
        assert "1, sub-step 4" in page(numbers(store, "a"))

    def test_it_goes_on_from_there_with_a_larger_budget(self) -> None:
        store, answers = InMemoryStore(), level(10, fine=stuck(14))
        solve(Tens(), Scripted(answers), k=3, max_samples_per_step=9, store=store, run_id="a", ladder=LADDER)
        model = Scripted(level(10))
        done = solve(Tens(), model, k=3, max_samples_per_step=30, store=store, run_id="a", ladder=LADDER)
        assert (done.status, done.final_state) == ("solved", 30)
        assert model.drawn < 3 + 5 * 3 + 3 + 9, "sub-steps that are decided are not bought again"
        assert min(number(one) for batch in model.batches for one in batch if by_one(one)) == 14

    @pytest.mark.parametrize("hedge", [0, 2])
    @pytest.mark.parametrize(
        "wrong",
        [
            {"joined": lambda _: None},
            {"chain": lambda state: Stuck(state, state + 10, 10, at=20)},
            {"chain": lambda state: Stuck(state, state + 10, 10, at=14)},
            {"chain": lambda state: Fine(state, 10 * state, 10)},
        ],
    )
    def test_a_task_that_is_mended_goes_on_from_its_winners(self, wrong: dict[str, Any], hedge: int) -> None:
        """Its join, its advance, before the end or at it, or its end were wrong."""
        store = InMemoryStore()
        options: dict[str, Any] = {"k": 3, "store": store, "run_id": "a", "ladder": LADDER}

        async def model(requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
            return await paid(requests)

        paid = Scripted(level(10))
        for _ in range(2):
            run = solve(Faulty(subtasks=3, **wrong), paid, **options)
            assert (run.status, run.samples) == ("unresolved", paid.drawn)
        assert "sub-step" in run.reason
        done = solve(Tens(), model if hedge else paid, hedge=hedge, **options)
        assert (done.status, done.final_state) == ("solved", 30)
        assert hedge or (done.samples, paid.drawn) == (41, 41)
        finer = [number(request) for batch in paid.batches for request in batch if by_one(request)]
        assert hedge or sorted(finer) == sorted([*range(10, 20)] * 3), "no sub-step is bought twice"
        assert finer.count(10) == 3

    def test_it_climbs_on_to_a_tier(self) -> None:
        def answer(request: Request) -> str:
            return str(number(request) + 10) if request.temperature == 0.9 else level(10, fine=stuck(14))(request)

        store = InMemoryStore()
        ladder = [*LADDER, Tier(temperature=0.9)]
        told: list[Any] = []
        run = solve(
            Tens(),
            Scripted(answer),
            k=3,
            max_samples_per_step=9,
            store=store,
            run_id="a",
            ladder=ladder,
            observer=told.append,
        )
        entry = entry_of(store, 1)
        assert (run.status, entry["tier"], entry["finer"], entry["votes"]) == ("solved", 2, 0, 3)
        whys = [event["why"] for event in told if event["event"] == "step.escalated"]
        assert whys[1].startswith("sub-step 4: ")

    def test_it_climbs_on_to_a_human_who_is_asked_about_the_subtask(self) -> None:
        store, ladder = InMemoryStore(), [*LADDER, AskHuman()]
        options: dict[str, Any] = {"k": 3, "max_samples_per_step": 9, "store": store, "run_id": "a", "ladder": ladder}
        run = solve(Tens(), Scripted(level(10, fine=stuck(14))), **options)
        [question] = run.questions
        assert (run.status, question["state"]) == ("waiting", 10)
        assert question["why"].startswith("sub-step 4: ")
        assert [(one["vote"]["next_state"], one["count"]) for one in question["candidates"]] == [(20, 3), (21, 2)]
        done = solve(Tens(), Scripted(level(10)), answers={"1": {"pick": 0}}, **options)
        assert (done.status, done.final_state) == ("solved", 30)
        assert (entry_of(store, 1)["human"], entry_of(store, 1)["finer"]) == (True, 0)

    def test_retry_lets_it_begin_in_the_first_tier(self) -> None:
        store, ladder = InMemoryStore(), [*LADDER, AskHuman()]
        options: dict[str, Any] = {"k": 3, "max_samples_per_step": 9, "store": store, "run_id": "a", "ladder": ladder}
        solve(Tens(), Scripted(level(10, fine=stuck(14))), **options)
        done = solve(Tens(), Scripted(level()), answers={"1": {"retry": True}}, **options)
        assert (done.status, entry_of(store, 1)["tier"]) == ("solved", 0)

    def test_another_chain_than_it_began_begins_afresh(self, caplog: pytest.LogCaptureFixture) -> None:
        """The task's code was changed between two sessions: its sub-steps are of two now, or its states others."""

        class Named(Fine):
            name = "finely"

        by_two: Any = lambda state: ByTwo(state, state + 10, 5)  # noqa: E731
        named: Any = lambda state: Named(state, state + 10, 10)  # noqa: E731
        for chain, steps in ((by_two, 5), (named, 10)):
            store = InMemoryStore()
            options: dict[str, Any] = {"k": 3, "store": store, "run_id": "a", "ladder": LADDER}
            solve(Tens(), Scripted(level(10)), max_total_samples=20, **options)
            [ballot] = journal.open_ballots(store, "a")
            assert len(cast("Any", ballot)["inner"]["winners"]) == 4
            done = solve(Faulty(chain, subtasks=3), Scripted(level(10)), **options)
            assert (done.status, done.final_state, done.samples) == ("solved", 30, 20 + 3 * steps + 3)
            entry = entry_of(store, 1)
            assert (entry["finer"], entry["votes"]) == (steps, 3 * steps)
            assert "step 1: split(state) gives another chain of sub-steps than it did" in caplog.text
            caplog.clear()

    @pytest.mark.parametrize(
        "damage",
        [
            lambda ballot: ballot.update(inner=None),
            lambda ballot: ballot.update(inner={}),
            lambda ballot: ballot["inner"].pop("held"),
            lambda ballot: ballot["inner"].update(held={}),
            lambda ballot: ballot["inner"].update(winners="many"),
            lambda ballot: ballot.pop("ladder"),
        ],
    )
    def test_a_damaged_ballot_is_said_to_be_one(self, damage: Callable[[Any], Any]) -> None:
        store = InMemoryStore()
        options: dict[str, Any] = {"k": 3, "store": store, "run_id": "a", "ladder": LADDER}
        solve(Tens(), Scripted(level(10)), max_total_samples=20, **options)
        [ballot] = journal.open_ballots(store, "a")
        damage(ballot)
        store.batch([run_data.put_open("a", 1, ballot)])
        with pytest.raises(JournalError, match="the open ballot of step 1 (of run 'a' )?cannot be read"):
            solve(Tens(), Scripted(level(10)), **options)

    def test_a_ladder_without_it_begins_the_subtask_again(self) -> None:
        """No vote on a sub-step is taken for one on the subtask."""
        store = InMemoryStore()
        answers = level(10, fine=stuck(14))
        solve(Tens(), Scripted(answers), k=3, store=store, run_id="a", ladder=LADDER, max_total_samples=23)
        [ballot] = journal.open_ballots(store, "a")
        assert ("inner" in ballot, sum(ballot["counts"].values())) == (True, 3)
        done = solve(Tens(), Scripted(level()), k=3, store=store, run_id="a")
        assert (done.status, done.final_state, entry_of(store, 1)["votes"]) == ("solved", 30, 3)


class TestPaidFor:
    def test_limits_count_finer_samples(self) -> None:
        store = InMemoryStore()
        run = solve(Tens(), Scripted(level(10)), k=3, store=store, run_id="a", ladder=LADDER, max_total_samples=20)
        assert (run.status, run.steps, run.samples) == ("stopped", 1, 20)
        assert "the limit is 20" in run.reason

    def test_so_do_costs(self) -> None:
        """Each sample costs a dollar here, and three are drawn at a time."""
        options: dict[str, Any] = {"k": 3, "ladder": LADDER, "price": Price(1e6, 0.0)}
        usage: Any = {"input_tokens": 1, "output_tokens": 0, "total_tokens": 1}
        model = Scripted(lambda request: AIMessage(level(10)(request), usage_metadata=usage))
        run = solve(Tens(), model, max_cost=20, **options)
        assert (run.status, run.steps, run.usage["cost"]) == ("stopped", 1, 20)

    @pytest.mark.parametrize("stop_at", [1, 4, 9, 14])
    def test_going_on_buys_nothing_again(self, stop_at: int) -> None:
        store, model = InMemoryStore(), Scripted(level(10))
        rounds: list[int] = []

        def stop() -> bool:
            rounds.append(1)
            return len(rounds) == stop_at

        for _ in range(2):
            run = solve(Tens(), model, k=3, store=store, run_id="a", ladder=LADDER, stop=stop)
        assert (run.status, run.samples, model.drawn) == ("solved", 41, 41)
        assert journal.verify(store, "a") == []

    @pytest.mark.parametrize("limit", range(9, 38, 7))
    def test_a_checkpoint_keeps_it_too(self, limit: int) -> None:
        """Without a store; each thread is left at another sub-step."""
        model, saver, config = Scripted(level(10)), InMemorySaver(), cast("Any", {"configurable": {"thread_id": "a"}})
        options: dict[str, Any] = {"k": 3, "ladder": LADDER}
        part = create_maker(Tens(), model, max_total_samples=limit, **options).compile(checkpointer=saver)
        assert part.invoke({}, config)["status"] == "stopped"
        whole = create_maker(Tens(), model, **options).compile(checkpointer=saver).invoke({}, config)
        assert (whole["status"], whole["samples"], model.drawn) == ("solved", 41, 41)

    @pytest.mark.parametrize("kills", [[19], pytest.param([7, 13, 13], marks=pytest.mark.slow)])
    def test_killed_at_any_moment(self, tmp_path: Path, kills: list[int]) -> None:
        """Each process is killed while it draws the given sample; no other is bought again."""
        db, counter = str(tmp_path / "run.sqlite"), tmp_path / "drawn"
        for dies_at in (*kills, 0):
            process = ran(__file__, db, str(counter), str(dies_at))
            assert process.returncode == (-signal.SIGKILL if dies_at else 0), process.stderr
        status, steps, samples = process.stdout.split()
        assert (status, int(steps)) == ("solved", 3)
        assert 41 == int(samples) <= counter.stat().st_size <= 41 + 3 * len(kills)
        with open_store(db) as store:
            assert journal.verify(store, "a") == []
            assert [entry["finer"] for entry in journal.read(store, "a")] == [0, 10, 0]


class ByTwo(Fine):
    """Two at a time."""

    def prompt(self, state: State) -> list[BaseMessage]:
        return [HumanMessage(f"{state} by two")]


class Stuck(Fine):
    """Fails at one of its states."""

    def __init__(self, start: int, end: int, steps: int, at: int) -> None:
        super().__init__(start, end, steps)
        self.at = at

    def advance(self, state: State, vote: Vote) -> State:
        if vote["next_state"] == self.at:
            raise KeyError(self.at)
        return vote["next_state"]


class Faulty(Tens):
    """A task whose chain of sub-steps is as the test says."""

    def __init__(self, chain: Any = None, joined: Any = None, subtasks: int = 1) -> None:
        super().__init__(subtasks)
        self.chain, self.joined = chain, joined

    def split(self, state: State) -> Task:
        return self.chain(state) if self.chain else super().split(state)

    def join(self, state: State, votes: Sequence[Vote]) -> Vote:
        return self.joined(state) if self.joined else super().join(state, votes)


def fails(after: int, **bad: Any) -> Callable[[State], Task]:
    """A chain of sub-steps that has these methods once so many steps are done."""

    def chain(state: State) -> Task:
        fine = Fine(state, state + 10, 10)
        for name, method in bad.items():
            own = getattr(fine, name)

            def call(*of: Any, own: Any = own, method: Any = method) -> Any:
                at = of[0]["next_state"] if isinstance(of[0], dict) else int(of[0])
                return method(*of) if at > state + after else own(*of)

            setattr(fine, name, call)
        return fine

    return chain


class Close(Fine):
    """Takes numbers that lie near each other for equal."""

    vote_key: Any = within(1.5)


def raises(error: Exception) -> Callable[[Any], Any]:
    def fail(_: Any) -> Any:
        raise error

    return fail


class TestBadInput:
    @pytest.mark.parametrize(
        ("task", "problem"),
        [
            (Faulty(raises(RedFlag("whole", "it has no parts"))), "split(state) failed: whole: it has no parts"),
            (Faulty(raises(KeyError("parts"))), "split(state) failed: KeyError 'parts'"),
            (Faulty(lambda _: "no task"), "split(state) must return a Task, got: 'no task'"),
            (Faulty(lambda _: Fine(10, 10)), "split(state) gave a chain of no steps"),
            (Faulty(lambda _: Fine(0, 300, 300)), "a chain of 300 steps, and 256 are the most"),
            (Faulty(lambda _: Fine(0, 300)), "its 256 sub-steps are decided, and do not end it (wrong_end)"),
            (Faulty(lambda _: Fine(0, 10, 4)), "its 4 sub-steps are decided, and do not end it (wrong_end)"),
            (
                Faulty(lambda _: Fine(0, 10, cast("Any", "10"))),
                "steps of fine is a whole number of at least 1, or None",
            ),
            (Faulty(lambda _: Fine(0, 10, 0)), "steps of fine is a whole number of at least 1, or None, not 0"),
            (Faulty(lambda _: Close(0, 10)), "vote_key of fine is a function; a tolerance is not"),
            (
                Faulty(fails(4, prompt=raises(KeyError("p")))),
                "sub-step 5: its prompt cannot be made: KeyError 'p'",
            ),
            (Faulty(fails(4, prompt=lambda _: None)), "sub-step 5: its prompt is no list of messages: None"),
            (
                Faulty(fails(4, vote_key=raises(KeyError("key")))),
                "all of them flagged for one reason (last: malformed: key: KeyError 'key')",
            ),
            (Faulty(fails(4, vote_key=lambda _: 5)), "sub-step 4: its answers cannot be judged: NotTextError: key"),
            (
                Faulty(fails(4, parse=raises(KeyError("text")))),
                "all of them flagged for one reason (last: malformed: KeyError 'text')",
            ),
            (Faulty(joined=lambda _: {"action": 1}), "join(state, votes) gave no action and next state: {'action': 1}"),
            (Faulty(joined=lambda _: None), "join(state, votes) gave no action and next state: None"),
            (Faulty(joined=raises(ZeroDivisionError("oh"))), "the sub-steps make no answer: ZeroDivisionError: oh"),
            (Faulty(joined=lambda _: {"action": 1, "next_state": -1}), "the sub-steps make no answer: backwards"),
            (
                Faulty(joined=lambda _: {"action": {1}, "next_state": 10}),
                "the sub-steps make no answer: NotJSONError",
            ),
        ],
    )
    def test_it_is_unresolved_with_the_reason_and_nothing_paid_is_lost(self, task: Task, problem: str) -> None:
        store, model = InMemoryStore(), Scripted(level(0))
        run = solve(task, model, k=1, store=store, run_id="a", ladder=[Tier(k=3, samples=5), Split()])
        assert (run.status, run.steps, run.samples) == ("unresolved", 0, model.drawn)
        assert problem in run.reason
        assert journal.open_ballots(store, "a")[0]["samples"] == model.drawn

    @pytest.mark.parametrize("hedge", [0, 2])
    @pytest.mark.parametrize(
        ("task", "why"),
        [
            (Faulty(raises(ValueError("whole"))), "split(state) failed: ValueError: whole"),
            (Faulty(joined=lambda _: None), "gave no action"),
            (Faulty(fails(4, prompt=lambda _: None)), "its prompt is no list of messages"),
            (Faulty(fails(4, vote_key=lambda _: 5)), "its answers cannot be judged"),
        ],
    )
    def test_or_climbs_on(self, task: Task, why: str, hedge: int) -> None:
        def answer(request: Request) -> str:
            return str(number(request) + 10) if request.temperature == 0.9 else level(0)(request)

        async def waits(requests: Sequence[Request]) -> list[AIMessage]:
            return [AIMessage(answer(request)) for request in requests]

        told: list[Any] = []
        model, ladder = waits if hedge else Scripted(answer), [*LADDER, Tier(temperature=0.9)]
        run = solve(task, model, k=3, hedge=hedge, ladder=ladder, observer=told.append)
        assert (run.status, run.final_state, run.flagged) == ("solved", 10, 0)
        last = [event for event in told if event["event"] == "step.escalated"][-1]
        assert last["tier"] == 2
        assert why in last["why"]

    def test_join_may_do_with_its_votes_what_it_likes(self) -> None:
        class Greedy(Tens):
            def join(self, state: State, votes: Any) -> Vote:
                votes[0]["next_state"] = votes.pop()["next_state"]
                return {"action": "add", "next_state": state + 10}

        store = InMemoryStore()
        run = solve(Greedy(1), Scripted(level(0)), k=3, store=store, run_id="a", ladder=LADDER)
        assert (run.status, run.final_state, entry_of(store, 0)["finer"]) == ("solved", 10, 10)

    def test_the_joined_vote_has_a_key_as_any_other(self) -> None:
        class Keyed(Faulty):
            def vote_key(self, vote: Vote) -> Any:
                return vote["next_state"] if vote["action"] == "joined" else str(vote["next_state"])

        run = solve(Keyed(joined=lambda _: {"action": "joined", "next_state": 10}), Scripted(level(0)), ladder=LADDER)
        assert run.status == "unresolved"
        assert "the sub-steps make no answer: NotTextError: key returned 10" in run.reason

    def test_a_task_that_knows_no_finer_steps_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"counting knows no sub-steps: give a maker graph a task with split"):
            create_maker(Counting(), Scripted(level()), ladder=LADDER)
        with pytest.raises(TypeError, match="there is no task that knows sub-steps"):
            create_voting_graph(Scripted(level()), prompt=str, parse=int, ladder=LADDER)

    def test_it_stands_once_and_below_a_human(self) -> None:
        with pytest.raises(ValueError, match=r"Split\(\) stands once in a ladder"):
            create_maker(Tens(), Scripted(level()), ladder=[Tier(), Split(), Tier(k=9), Split()])
        with pytest.raises(ValueError, match="AskHuman stands on top"):
            create_maker(Tens(), Scripted(level()), ladder=[Tier(), AskHuman(), Split()])
        with pytest.raises(ValueError, match=r"carry=True above Split\(\), whose votes are on other steps"):
            create_maker(Tens(), Scripted(level()), ladder=[Tier(), Split(), Tier(k=9, carry=True)])
        with pytest.raises(ValueError, match="asks as the one before it does"):
            create_maker(Tens(), Scripted(level()), ladder=[Tier(), Split(), Tier()])

    def test_a_ladder_may_begin_with_it(self) -> None:
        assert solve(Tens(), Scripted(level(10)), k=3, ladder=[Split()]).status == "solved"

    def test_on_the_command_line(self, tmp_path: Path) -> None:
        def invoke(*arguments: str) -> Any:
            tiers = ["--tier", "samples=6", "--tier", "split", "--db", str(tmp_path / "runs")]
            return CliRunner().invoke(app, ["run", "hanoi", "--disks", "4", *tiers, *arguments])

        result = invoke("--steps-per-subtask", "5", "--model", "sim:error=0.2", "--k", "6", "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["outlook"]["by_split"] >= 1
        said = invoke("--steps-per-subtask", "5", "--model", "sim:error=0.2", "--k", "6").stdout
        assert "of them in sub-steps" in " ".join(said.split())
        refused = invoke()
        assert (refused.exit_code, "knows no sub-steps" in refused.stderr) == (2, True)


def dying(path: str, dies_at: int) -> Sampler:
    """The model of these tests, which notes each sample, and ends its process while it draws the given one."""
    file, drawn = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY), [0]

    @never_waits
    async def sample(requests: Sequence[Request]) -> list[AIMessage]:
        os.write(file, b"." * len(requests))
        drawn[0] += len(requests)
        if 0 < dies_at <= drawn[0]:
            signal.raise_signal(signal.SIGKILL)
        return [AIMessage(level(10)(request)) for request in requests]

    return sample


if __name__ == "__main__":
    with open_store(sys.argv[1]) as database:
        ended = solve(Tens(), dying(sys.argv[2], int(sys.argv[3])), k=3, store=database, run_id="a", ladder=LADDER)
    sys.stdout.write(f"{ended.status} {ended.steps} {ended.samples}")
