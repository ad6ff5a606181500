"""`solve` and `asolve`: one call from a task to its result."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.store.memory import InMemoryStore
from scripted import Counting, Recording, Scripted, right, script

from langgraph_maker import Progress, asolve, solve
from langgraph_maker.core.errors import JournalError, SamplingError
from langgraph_maker.core.grouped import Grouped
from langgraph_maker.core.red_flags import RedFlag, Truncated
from langgraph_maker.tasks import TowersOfHanoi


def one_wrong(request: Any) -> str:
    """Right, but step 2 takes five votes, and the first answer to step 3 is flagged."""
    state = int(request.messages[0].text)
    if (state, request.number) == (2, 1):
        return "7"
    return "flag" if (state, request.number) == (3, 0) else right(request)


def test_a_solved_run() -> None:
    run = solve(Counting(4), Scripted(one_wrong))
    assert (run.status, run.reason, run.steps, run.final_state) == ("solved", "", 4, 4)
    assert (run.samples, run.flagged, run.rounds) == (3 + 3 + 5 + 4, 1, 1 + 1 + 2 + 2)
    assert list(run.actions()) == ["add"] * 4
    assert run.votes_per_step == [0, 0, 0, 3, 0, 1]
    assert run.undecided_after == [4, 4, 4, 2, 1, 0]


async def test_asolve_is_its_twin() -> None:
    run, twin = solve(Counting(4), Scripted(one_wrong)), await asolve(Counting(4), Scripted(one_wrong))
    assert {**vars(run), "run_id": "", "store": None} == {**vars(twin), "run_id": "", "store": None}
    assert list(twin.actions()) == list(run.actions())


async def test_solve_inside_a_running_event_loop() -> None:
    assert solve(Counting(4), Recording(answer=lambda text: str(int(text) + 1))).status == "solved"


async def test_asolve_calls_the_model_on_the_callers_loop() -> None:
    loops = set()

    async def sampler(requests: Any) -> list[AIMessage]:
        loops.add(asyncio.get_running_loop())
        return [AIMessage(right(request)) for request in requests]

    await asolve(Counting(3), sampler)
    assert loops == {asyncio.get_running_loop()}


def test_runs_side_by_side_do_not_mix() -> None:
    runs: dict[int, Any] = {}

    def work(steps: int) -> None:
        runs[steps] = solve(Counting(steps), Scripted(right))

    threads = [threading.Thread(target=work, args=(steps,)) for steps in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {steps: (run.steps, run.final_state) for steps, run in runs.items()} == {n: (n, n) for n in range(1, 9)}


def test_usage_counts_flagged_samples_too() -> None:
    def counted(request: Any) -> AIMessage:
        usage: Any = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        return AIMessage(one_wrong(request), usage_metadata=usage)

    run = solve(Counting(4), Scripted(counted))
    assert run.usage["input_tokens"] == 10 * run.samples
    assert run.usage["output_tokens"] == 2 * run.samples


def test_progress_after_every_round() -> None:
    seen: list[Progress] = []
    run = solve(Counting(4), Scripted(one_wrong), on_progress=seen.append)
    assert [now.steps for now in seen] == sorted(now.steps for now in seen)
    assert {now.steps for now in seen} == {1, 2, 3, 4}
    assert max(now.undecided for now in seen) == 1
    last = seen[-1]
    assert (last.steps, last.total_steps, last.samples, last.flagged) == (4, 4, run.samples, run.flagged)
    assert last.run_id == run.run_id


def test_an_unresolved_run_reports_what_it_spent() -> None:
    model = Scripted(lambda request: right(request) if request.messages[0].text == "0" else str(request.number))
    run = solve(Counting(4), model, max_samples_per_step=10)
    assert (run.status, run.steps, run.samples) == ("unresolved", 1, model.drawn)
    assert "step 1" in run.reason
    assert run.undecided_after == [2, 2, 2, 1]


def test_a_model_that_always_raises_ends_with_what_was_spent() -> None:
    def dies(request: Any) -> Any:
        return right(request) if request.messages[0].text != "2" else ConnectionError("refused")

    run = solve(Counting(4), Scripted(dies), outage_limit=0)
    assert (run.status, run.steps, run.samples) == ("stopped", 2, 6)
    assert run.reason.startswith("a model call failed once, the last time with ConnectionError: refused; run it again")


def test_a_model_that_refuses_from_the_first_is_an_error() -> None:
    with pytest.raises(SamplingError, match=r"the model refused: PermissionError: no such key"):
        solve(Counting(4), script(PermissionError("no such key")))


def test_a_model_that_refuses_later_stops_the_run() -> None:
    def refuses(request: Any) -> Any:
        return right(request) if request.messages[0].text != "2" else PermissionError("revoked")

    store = InMemoryStore()
    run = solve(Counting(4), Scripted(refuses), store=store, run_id="r")
    assert (run.status, run.steps, run.samples) == ("stopped", 2, 6)
    assert "the model refused: PermissionError: revoked" in run.reason
    assert solve(Counting(4), Scripted(right), store=store, run_id="r").samples == 12


def test_a_bug_in_a_parser_is_told_and_ends_the_run(caplog: pytest.LogCaptureFixture) -> None:
    class Buggy(Counting):
        def parse(self, text: str) -> Any:
            return text.nonsense  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="nonsense"):
        solve(Buggy(2), script("1"), strict_parse=True)
    run = solve(Buggy(2), script("1"))
    assert (run.status, run.samples) == ("unresolved", 12)
    assert "object has no attribute 'nonsense'" in run.reason
    [told] = caplog.records
    assert "in parse" in told.getMessage()


class Nameless(Counting):
    name: Any = None


def test_a_prompt_in_words_is_read_back_from_a_message() -> None:
    """`read_state` gets messages, whatever `prompt` returns."""

    class Words(Counting):
        def prompt(self, state: Any) -> Any:
            return str(state)

        def oracle(self, state: Any) -> Any:
            return {"action": "add", "next_state": state + 1}

        def read_state(self, messages: Any) -> Any:
            return int(messages[-1].text)

        def render(self, vote: Any) -> str:
            return str(vote["next_state"])

    assert solve(Words(4), "sim:error=0").status == "solved"
    assert Grouped(Words(4), 2).prompt(1)[-1].text.startswith("1\n")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"task": "hanoi"}, "TowersOfHanoi"),
        ({"task": Nameless()}, "name of Nameless is a short text, not None"),
        ({"task": Counting}, r"task is the class Counting: give a task of it, such as Counting\(…\)"),
        ({"task": None}, "task is a Task"),
        ({"model": Scripted}, "model is the class Scripted"),
        ({"store": "runs.sqlite"}, r"with SqliteStore.from_conn_string\('runs.sqlite'\) as store"),
        ({"store": Path("runs.sqlite")}, "store is no path"),
        ({"store": InMemoryStore}, "store is the class InMemoryStore"),
        ({"store": nullcontext()}, "with … as store"),
        ({"checkpointer": "runs.sqlite"}, "with SqliteSaver"),
        ({"checkpointer": 5}, "checkpointer is a BaseCheckpointSaver of LangGraph, not 5"),
        ({"red_flags": 5}, r"TokenLimit\(5\)"),
        ({"red_flags": [Truncated()]}, r"combined with \|"),
        ({"red_flags": Truncated}, "Truncated is a class of flag rules"),
    ],
)
def test_mistakes_are_answered_before_anything_is_paid_for(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        solve(**{"task": Counting(2), "model": script("1"), **given})


def test_options_reach_the_graph() -> None:
    run = solve(
        Counting(None, goal=2),
        Scripted(right),
        k=5,
        max_steps=3,
        max_samples_per_step=9,
        temperature=None,
        first_temperature=None,
        red_flags=lambda response: RedFlag("one") if response.text == "1" else None,
    )
    assert (run.status, run.flagged, run.samples) == ("unresolved", 5, 5)
    with pytest.raises(TypeError, match="hedges"):
        solve(Counting(2), Scripted(right), hedges=2)  # type: ignore[call-arg]


def test_a_run_is_plain_data() -> None:
    run = solve(Counting(2), Scripted(right))
    assert "store" not in asdict(run)
    copy = deepcopy(run)  # as pickle does
    assert copy == run
    with pytest.raises(JournalError, match="journal.read"):
        list(copy.actions())


def test_whatever_ends_a_run_says_what_was_spent() -> None:
    class Buggy(Counting):
        def advance(self, state: Any, vote: Any) -> Any:
            return super().advance(state, vote) if state < 2 else 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        solve(Buggy(4), Scripted(right))
    assert "at step 2, after 9 samples, 0 of them flagged" in caught.value.__notes__


@pytest.mark.slow
def test_more_steps_than_state_could_hold() -> None:
    run = solve(Counting(4200), Scripted(right), k=1)
    assert (run.status, run.steps, sum(1 for _ in run.actions())) == ("solved", 4200, 4200)


def test_hanoi_is_solved_by_legal_moves() -> None:
    run = solve(TowersOfHanoi(6), "sim:gpt-4.1-mini,seed=4", k=4)
    pegs: list[list[int]] = [[6, 5, 4, 3, 2, 1], [], []]
    for disk, source, target in run.actions():
        assert pegs[source].pop() == disk
        assert not pegs[target] or pegs[target][-1] > disk
        pegs[target].append(disk)
    assert pegs == [[], [], [6, 5, 4, 3, 2, 1]]
    assert (run.status, run.steps) == ("solved", 63)


def test_the_oracle_takes_no_part_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    task = TowersOfHanoi(4)
    truth = {}
    state = task.initial_state()
    while not task.is_done(state):
        vote = task.oracle(state)
        truth[task.prompt(state)[-1].text] = f"move = {vote['action']}\nnext_state = {vote['next_state']}"
        state = task.advance(state, vote)
    monkeypatch.setattr(TowersOfHanoi, "oracle", lambda *_: pytest.fail("consulted"))
    monkeypatch.setattr(TowersOfHanoi, "read_state", lambda *_: pytest.fail("consulted"))
    assert solve(task, Scripted(lambda request: truth[request.messages[-1].text])).status == "solved"


@pytest.mark.parametrize("run_id", ["", 5])
def test_a_run_id_is_a_text(run_id: Any) -> None:
    with pytest.raises(ValueError, match="a run id is a text that is not empty"):
        solve(Counting(2), Scripted(right), run_id=run_id)


def test_a_margin_that_no_round_could_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="k is at most 1,000"):
        solve(Counting(2), Scripted(right), k=10**20)
