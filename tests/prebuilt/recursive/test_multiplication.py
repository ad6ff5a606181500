"""Products by a simulated model that cannot multiply: what it says, and what the recursive maker makes of it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from crash_tree import LADDER, model
from forked import ran
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from paths import ROOT, SUPPORT

from langgraph_maker import create_recursive_maker, journal, theory
from langgraph_maker.core.state import Request
from langgraph_maker.journal.databases import open_store
from langgraph_maker.prebuilt.recursive import Stages
from langgraph_maker.prebuilt.recursive.multiplication import Multiplication, simulated_multiplication
from langgraph_maker.prebuilt.recursive.stages import StageQuestion
from langgraph_maker.theory.intervals import exact_interval

STAGES = Stages()


def draw(message: HumanMessage, count: int, **rates: Any) -> Counter[str]:
    sampler = simulated_multiplication(**rates)

    async def drawn() -> Sequence[AIMessage | Exception]:
        return await sampler([Request([message], 0.1, "1:x", number) for number in range(count)])

    return Counter(response.text for response in asyncio.run(drawn()) if isinstance(response, AIMessage))


def answers(question: StageQuestion, count: int, **rates: Any) -> Counter[str]:
    return draw(HumanMessage(str(STAGES.ask(question))), count, **rates)


def share(question: StageQuestion, right: dict[str, Any], **rates: Any) -> tuple[float, float]:
    """A 99.9 % interval of the probability of the right answer, from 2,000 samples."""
    counted = answers(question, 2000, **rates)
    return exact_interval(counted[json.dumps(right)], 2000, 0.999)


SPLIT = {"subproblems": ["12 * 45", "3 * 45"], "compose": "{1} * 10 + {2}"}
PARTS = {
    "how": SPLIT["compose"],
    "parts": [{"problem": "12 * 45", "answer": "540"}, {"problem": "3 * 45", "answer": "135"}],
}


class TestTheSimulatedModel:
    @pytest.mark.parametrize(
        ("question", "right", "p"),
        [
            ({"stage": "solve", "problem": "123456 * 654321"}, {"answer": str(123456 * 654321)}, 0.10),
            ({"stage": "solve", "problem": "12 * 3"}, {"answer": "36"}, 0.10),
            ({"stage": "solve", "problem": "7 * 8"}, {"answer": "56"}, 0.97),
            ({"stage": "atomic", "problem": "7 * 8"}, {"atomic": True}, 0.97),
            ({"stage": "atomic", "problem": "12 * 8"}, {"atomic": False}, 0.97),
            ({"stage": "compose", "problem": "123 * 45", **PARTS}, {"answer": "5535"}, 0.97),
            ({"stage": "check", "problem": "123 * 45", **PARTS, "answer": "5535"}, {"right": True}, 0.97),
            ({"stage": "check", "problem": "123 * 45", **PARTS, "answer": "5534"}, {"right": False}, 0.97),
            ({"stage": "check", "problem": "124 * 45", **PARTS, "answer": "5535"}, {"right": False}, 0.97),
            (
                {
                    "stage": "choose",
                    "problem": "123 * 45",
                    "of": "propose",
                    "candidates": [{**SPLIT, "compose": "{1} + {2}"}, SPLIT],
                },
                {"choice": 2},
                0.97,
            ),
        ],
    )
    def test_is_right_as_often_as_it_says(self, question: StageQuestion, right: dict[str, Any], p: float) -> None:
        low, high = share(question, right)
        assert low <= p <= high

    def test_proposes_several_ways_that_all_make_the_product(self) -> None:
        question: StageQuestion = {"stage": "propose", "problem": "1234 * 567", "above": [], "at_most": 8}
        said = answers(question, 6, small=1.0)
        assert len(said) == 3
        for text in said:
            vote = STAGES.read("propose", text)
            assert STAGES.validate(question, vote) is None
            values = [product(problem) for problem in vote["subproblems"]]
            shift = int(vote["compose"].split(" * ")[1].split(" + ")[0])
            assert values[0] * shift + values[1] == 1234 * 567

    def test_reads_nothing_but_its_own_prompts(self) -> None:
        with pytest.raises(ValueError, match="none of a recursive maker's"):
            draw(HumanMessage("2 * 3?"), 1)


def product(problem: str) -> int:
    a, b = problem.split(" * ")
    return int(a) * int(b)


@pytest.mark.parametrize("problem", ["0 * 0", "7 * 8", "10 * 10", "999 * 99999", "1000003 * 70", "111111 * 111111"])
def test_products_of_any_length(problem: str) -> None:
    result = create_recursive_maker(simulated_multiplication(flag=0.05, seed=2)).compile().invoke({"problem": problem})
    assert (result["status"], result["answer"]) == ("solved", str(product(problem)))


@pytest.mark.slow
def test_six_by_six_digits() -> None:
    """A product takes some 110 votes, each wrong with probability 3e-5: fewer than 95 of 100 right would be a bug."""
    assert 110 * (1 - theory.p_correct(0.97, 3)) < 0.005
    direct, recursive = run_path(str(ROOT / "examples" / "recursive_multiplication.py"))["compare"](100)
    assert recursive["right"] >= 95
    assert direct["right"] <= 10


@pytest.mark.slow
def test_a_kill_costs_the_round_in_flight_and_no_more(tmp_path: Path) -> None:
    problem, lost = "8364 * 5792", 0
    script, drawn = SUPPORT / "crash_tree.py", tmp_path / "drawn"
    for rounds in (1, 3, 7, 10, 0):
        done = ran(str(script), str(tmp_path / "tree.sqlite"), str(drawn), str(rounds), problem)
        assert done.returncode == (-9 if rounds else 0), done.stderr
        lost += int(drawn.read_text().split()[-1]) if rounds else 0
    result = json.loads(done.stdout)
    model = simulated_multiplication(flag=0.05, seed=4)
    undisturbed = create_recursive_maker(model).compile().invoke({"problem": problem})
    assert result == {name: undisturbed[name] for name in result}
    assert result["answer"] == str(8364 * 5792)
    assert sum(map(int, drawn.read_text().split())) == sum(result["samples"].values()) + lost


@pytest.mark.slow
def test_a_human_is_asked_the_same_across_kills_and_answers_are_kept(tmp_path: Path) -> None:
    """A model that is often wrong, a human who is right: where a process is killed makes no difference."""
    db, truth = str(tmp_path / "tree.sqlite"), Multiplication()

    def process(rounds: int) -> Any:
        done = ran(str(SUPPORT / "crash_tree.py"), db, str(tmp_path / "drawn"), str(rounds), "83 * 57", "asks")
        assert done.returncode in {0, -9}, done.stderr
        return json.loads(done.stdout) if done.stdout else {"status": "killed"}

    thread = {"configurable": {"thread_id": "t"}}
    graph: Any = create_recursive_maker(model("asks"), ladder=LADDER).compile(checkpointer=InMemorySaver())
    given: Any = {"problem": "83 * 57"}
    asked = 0
    for _ in range(20):
        undisturbed = graph.invoke(given, thread)
        killed, result = process(1)["status"] == "killed", process(0)
        assert killed or not asked, "each answer is followed by a vote, until the last"
        assert {name: result[name] for name in result} == {name: undisturbed[name] for name in result}
        if result["status"] != "waiting":
            break
        forms: dict[str, Any] = {
            one["id"]: {"answer": json.dumps(truth.right(one["state"]))} for one in result["questions"]
        }
        asked += len(forms)
        with open_store(db) as store:
            for name, form in forms.items():
                journal.answer(store, "r", name, form)
        given = Command(resume={one.id: forms[one.value["id"]] for one in undisturbed["__interrupt__"]})
    assert (result["status"], result["answer"], asked > 3) == ("solved", str(83 * 57), True)


@pytest.mark.slow
@pytest.mark.parametrize("sync", [True, False])
async def test_a_model_behind_http_that_has_bad_days(sync: bool) -> None:
    from langchain_openai import ChatOpenAI

    from langgraph_maker.simulation.server import SimulatedServer

    provider = SimulatedServer(Multiplication(), "error=0.03,flag=0.05,output_tokens=60", faults="500=0.05,reset=0.03")
    stages = Stages(tools=False)
    with provider.running() as url:
        model = ChatOpenAI(model="sim", base_url=url, api_key="any", max_retries=0)  # type: ignore[arg-type]
        graph = create_recursive_maker(model, stages=stages).compile()
        problem: Any = {"problem": "12 * 34"}
        result = graph.invoke(problem) if sync else await graph.ainvoke(problem)
    assert (result["status"], result["answer"]) == ("solved", "408")
    assert provider.stats.samples == sum(result["samples"].values())
