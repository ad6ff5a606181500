"""A recursive run among the runs of a store: listed, verified, exported, deleted, reported, and told from a chain."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from paths import ROOT
from scripted import Counting, Scripted, right
from staged import Staged
from typer.testing import CliRunner

from langgraph_maker import create_maker, create_recursive_maker, journal, solve
from langgraph_maker.cli import app
from langgraph_maker.core.canonical import mark
from langgraph_maker.core.errors import JournalError
from langgraph_maker.journal import records
from langgraph_maker.journal.databases import open_store
from langgraph_maker.nodes.ladder import AskHuman, Tier
from langgraph_maker.prebuilt.recursive import read_tree
from langgraph_maker.prebuilt.recursive.multiplication import Products, simulated_multiplication
from langgraph_maker.prebuilt.recursive.stages import StageQuestion
from langgraph_maker.report import numbers, tree_numbers, tree_page

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&\u2028\u202e[/red]"
ASKING: dict[str, Any] = {"ladder": [Tier(samples=6), AskHuman()]}


def ran(store: BaseStore, model: Any = None, run_id: str = "r", problem: str = "abcdefgh", **options: Any) -> Any:
    graph = create_recursive_maker(Staged() if model is None else model, **options).compile(store=store)
    return graph.invoke({"problem": problem, "run_id": run_id})


def level(question: StageQuestion, number: int) -> Any:
    return {"answer": "?!"[number % 2]} if question == {"stage": "solve", "problem": "c"} else None


def lossy(question: StageQuestion, _: int) -> Any:
    """Splits the root so that a letter is lost, until told."""
    first = question["stage"] == "propose" and not question["above"] and "refuted" not in question
    return {"subproblems": ["abc", "efgh"], "compose": "{2}{1}"} if first else None


def altered(store: BaseStore, key: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change what a record says, and its checksum with it, as one who means to would."""
    where = records.tree("r")
    item = store.get(where, key)
    assert item is not None
    value = json.loads(item.value["record"])
    change(value)
    store.put(where, key, {"record": json.dumps(value), "check": mark(["r", key, value])})


class TestAmongTheRuns:
    def test_it_is_listed_as_what_it_is(self) -> None:
        store = InMemoryStore()
        ran(store)
        ran(store, run_id="half", max_total_samples=40)
        solve(Counting(3), Scripted(right), store=store, run_id="chain")
        found = {header["run_id"]: header for header in journal.runs(store)}
        assert {name: header.get("kind") for name, header in found.items()} == {
            "r": "tree",
            "half": "tree",
            "chain": None,
        }
        assert (found["r"]["task"], found["r"]["parameters"], found["r"]["k"]) == (
            "recursive",
            {"problem": "abcdefgh"},
            3,
        )
        assert [found[name]["outcome"]["status"] for name in ("r", "half")] == ["solved", "stopped"]
        assert found["r"]["sessions"][0]["settings"]["max_nodes"] == 1000
        assert journal.steps(store, "r") == 15 + 7 + 8 + 7 + 7

    def test_one_that_goes_on_has_one_session_a_process_and_its_last_outcome(self) -> None:
        store = InMemoryStore()
        ran(store, max_total_samples=40)
        ran(store, max_total_samples=40)
        assert len(journal.header(store, "r")["sessions"]) == 1
        ran(store)
        header = journal.header(store, "r")
        assert (len(header["sessions"]), header["outcome"]["status"]) == (2, "solved"), "it was told something else"
        ran(store)
        assert journal.header(store, "r")["outcome"] == header["outcome"]

    def test_how_it_last_ended_is_not_said_of_one_that_goes_on(self) -> None:
        store = InMemoryStore()
        graph = create_recursive_maker(Staged(level), **ASKING).compile(store=store)
        graph.invoke({"problem": "abcdefgh", "run_id": "r"})
        with pytest.raises(ValueError, match="no open question"):
            graph.invoke({"run_id": "r", "answers": {"7": {"pick": 0}}})
        assert journal.header(store, "r")["outcome"]["status"] == "waiting"
        given: Any = {"run_id": "r", "answers": {"1.1.2.1:solve": {"answer": "c"}}}
        for update in graph.stream(given, stream_mode="updates"):
            if "grow" in update:  # and the process ends here
                break
        assert journal.header(store, "r")["outcome"] == {}
        graph.invoke({"run_id": "r"})
        assert journal.header(store, "r")["outcome"]["status"] == "solved"

    def test_no_run_of_one_kind_is_taken_for_one_of_the_other(self) -> None:
        store = InMemoryStore()
        ran(store)
        solve(Counting(3), Scripted(right), store=store, run_id="chain")
        model = Staged()
        with pytest.raises(JournalError, match="run 'chain' of this store is one of counting"):
            ran(store, model, run_id="chain")
        assert model.drawn == 0
        with pytest.raises(JournalError, match="run 'r' was started with task 'recursive'"):
            create_maker(Counting(3), Scripted(right)).compile(store=store).invoke({"run_id": "r"})
        assert (journal.verify(store, "chain"), journal.verify(store, "r")) == ([], [])

    @pytest.mark.parametrize(
        "read",
        [
            lambda store: [*journal.read(store, "r")],
            lambda store: [*journal.entries(store, "r")],
            lambda store: journal.fork(store, "r", 1, "new"),
            lambda store: numbers(store, "r"),
        ],
    )
    def test_what_takes_a_chain_says_so(self, read: Callable[[BaseStore], Any]) -> None:
        store = InMemoryStore()
        ran(store)
        with pytest.raises(JournalError, match="'r' is a recursive one, and has a tree in place of steps: recursion"):
            read(store)

    def test_export_is_a_node_a_line(self) -> None:
        store, file = InMemoryStore(), io.StringIO()
        result = ran(store, Staged(lossy), max_total_samples=100)
        journal.export(store, "r", file)
        head, *lines = map(json.loads, file.getvalue().splitlines())
        assert (head["run_id"], head["kind"]) == ("r", "tree")
        assert {line["node"]["id"]: line["node"] for line in lines} == result["tree"]
        assert {line["ballot"]["id"] for line in lines if line["ballot"]} == {
            ballot["id"] for ballot in journal.open_ballots(store, "r")
        }

    def test_deleting_lets_the_id_begin_again_and_leaves_nothing(self) -> None:
        store = InMemoryStore()
        ran(store, Staged(level), **ASKING)
        ran(store, run_id="r2")
        journal.answer(store, "r", "1.1.2.1:solve", {"pick": 0})
        journal.delete(store, "r")
        assert [header["run_id"] for header in journal.runs(store)] == ["r2"]
        assert (len(read_tree(store, "r2")), journal.verify(store, "r2")) == (15, [])
        assert [*store.search(records.tree("r"))] == [*store.search(records.namespace("r"))] == []
        assert ran(store, problem="xy")["answer"] == "yx"
        with pytest.raises(JournalError, match="no run 'other'"):
            journal.delete(store, "other")

    def test_a_tree_of_an_older_version_is_an_error_that_says_so_and_can_be_deleted(self) -> None:
        store = InMemoryStore()
        ran(store)
        altered(store, "head", lambda head: head.pop("format"))
        store.delete(records.HEADERS, records.get_header("r").key)
        for read in (lambda: ran(store), lambda: read_tree(store, "r")):
            with pytest.raises(JournalError, match="'r' was written by another version of this package"):
                read()
        journal.delete(store, "r")
        assert ran(store)["answer"] == "hgfedcba"


class TestVerify:
    @staticmethod
    def kinds(store: BaseStore) -> list[tuple[int | str, str]]:
        return [(problem.step, problem.kind) for problem in journal.verify(store, "r")]

    @pytest.mark.parametrize("options", [{}, {"max_total_samples": 40}, {"max_attempts": 1}])
    def test_a_whole_run(self, options: Any) -> None:
        store = InMemoryStore()
        ran(store, Staged(lossy), **options)
        assert self.kinds(store) == []

    def test_a_node_that_is_missing(self) -> None:
        store = InMemoryStore()
        ran(store, problem="abcd")
        store.delete(records.tree("r"), "node-1.2.1")
        assert self.kinds(store) == [("1.2.1", "missing")]

    def test_a_node_that_was_altered_or_is_of_another_run(self) -> None:
        store = InMemoryStore()
        ran(store, problem="abcd")
        ran(store, run_id="other", problem="abcd")
        item = store.get(records.tree("r"), "node-1.1.1")
        other = store.get(records.tree("other"), "node-1.1.2")
        assert item is not None
        assert other is not None
        store.put(records.tree("r"), "node-1.1.1", {**item.value, "record": item.value["record"].replace("a", "b")})
        store.put(records.tree("r"), "node-1.1.2", other.value)
        assert self.kinds(store) == [("1.1.1", "altered"), ("1.1.2", "altered")]

    def test_a_stage_short_of_k(self) -> None:
        store = InMemoryStore()
        ran(store, problem="abcd")
        altered(store, "node-1.2.1", lambda record: record["node"]["decided"][1].update(margin=2))
        assert self.kinds(store) == [("1.2.1", "undercut")]

    def test_an_answer_that_is_not_what_was_decided(self) -> None:
        store = InMemoryStore()
        ran(store, problem="abcd")
        altered(store, "node-1.2.1", lambda record: record["node"].update(answer="x"))
        assert self.kinds(store) == [("1", "mixed writers")], "the head has a mark of the whole tree"

    def test_a_part_that_is_not_done_of_a_node_that_is(self) -> None:
        store = InMemoryStore()
        ran(store, problem="abcd")
        altered(store, "node-1.2.1", lambda record: record["node"].update(stage="solve", answer=None))
        assert self.kinds(store) == [("1.2", "broken succession")]

    def test_records_that_belong_to_no_tree(self) -> None:
        store = InMemoryStore()
        ran(store, problem="abcd")
        item = store.get(records.tree("r"), "node-1.2")
        assert item is not None
        store.put(records.tree("r"), "node-1.9", item.value)
        assert self.kinds(store) == [("1.9", "mixed writers")]

    @pytest.mark.parametrize(("change", "kind"), [("altered", "altered"), ("gone", "missing")])
    def test_a_head(self, change: str, kind: str) -> None:
        store = InMemoryStore()
        ran(store, problem="abcd")
        if change == "gone":
            store.delete(records.tree("r"), "head")
        else:
            store.put(records.tree("r"), "head", {"record": "{", "check": ""})
        assert self.kinds(store) == [("head", kind)]


class TestReport:
    def test_its_numbers_are_those_of_the_run(self) -> None:
        store = InMemoryStore()
        result = ran(store, Staged(lossy))
        found = tree_numbers(store, "r")
        for name in ("status", "reason", "answer", "samples", "flags", "rounds", "usage", "tree", "depth"):
            assert found[name] == result[name], name
        assert (found["refuted"], found["least_margin"], found["by_human"], found["open"]) == (1, 3, 0, [])
        assert found["decided"] == journal.steps(store, "r")
        assert json.loads(json.dumps(found)) == found

    def test_the_page_shows_the_tree_with_what_each_vote_took(self) -> None:
        store = InMemoryStore()
        ran(store, Staged(lossy))
        page = tree_page(tree_numbers(store, "r"))
        assert "The answer is <code>hgfedcba</code>" in page
        assert "<code>1.3.2</code> cd → <code>dc</code>" in page
        assert "tried before: <code>hgfecba</code>, which was voted wrong" in page
        assert "decided by a lead of 3 votes, 3 samples" in page
        assert "simulated" not in page

    def test_one_that_waits_shows_the_question_and_how_to_answer(self) -> None:
        store = InMemoryStore()
        ran(store, Staged(level), **ASKING)
        page = tree_page(tree_numbers(store, "r"))
        assert "<b>WAITING</b> a node waits for a human&#x27;s answer." in page
        assert "langgraph-maker answer 1.1.2.1:solve --run-id r --pick NUMBER" in page
        assert "3 × " in page

    def test_an_unfinished_one(self) -> None:
        store = InMemoryStore()
        for event in (
            create_recursive_maker(Staged())
            .compile(store=store)
            .stream({"problem": "abcd", "run_id": "r"}, stream_mode="custom")
        ):
            if event["event"] == "node.decided":  # and the process ends here
                break
        found = tree_numbers(store, "r")
        assert (found["status"], found["answer"]) == ("unfinished", None)
        assert "UNFINISHED" in tree_page(found)

    def test_hostile_text_is_text(self) -> None:
        def answer(question: StageQuestion, number: int) -> Any:
            if question["stage"] == "atomic":
                return {"atomic": True}
            return {"answer": HOSTILE + "?!"[number % 2]}

        store = InMemoryStore()
        ran(store, Staged(answer), run_id=HOSTILE, problem=HOSTILE, **ASKING)
        waiting = tree_page(tree_numbers(store, HOSTILE))
        journal.answer(store, HOSTILE, "1:solve", {"answer": HOSTILE})
        ran(store, Staged(answer), run_id=HOSTILE, problem=HOSTILE, **ASKING)
        solved = tree_page(tree_numbers(store, HOSTILE))
        for page in (waiting, solved):
            assert "<script" not in page
            assert "<img" not in page
            assert "\u202e" not in page
            assert "default-src &#x27;none&#x27;" in page
        assert solved.count("&lt;img src=x") > 3

    @pytest.mark.slow
    def test_a_deep_and_a_broad_tree_are_drawn_and_what_is_left_out_is_said(self) -> None:
        store = InMemoryStore()
        ran(store)
        found = tree_numbers(store, "r")
        part = found["tree"]["1.1"]

        def drawn(children: dict[str, list[str]]) -> str:
            tree: Any = {
                one: {**part, "id": one, "depth": one.count("."), "children": below} for one, below in children.items()
            }
            return tree_page({**found, "tree": tree})

        deep = ["1" + ".1" * level for level in range(1500)]
        page = drawn({one: [f"{one}.1"] for one in deep})
        assert (page.count("<details"), "1,449 nodes further down are left out" in page) == (51, True)
        broad = [f"1.{place}" for place in range(1, 3001)]
        assert "1,001 nodes further down are left out" in drawn({"1": broad, **{one: [] for one in broad}})


class TestCommands:
    def test_runs_report_and_answer(self, tmp_path: Path) -> None:
        db, page = str(tmp_path / "runs.sqlite"), tmp_path / "page.html"
        with open_store(db) as store:
            ran(store, Staged(level), **ASKING)
            ran(store, simulated_multiplication(), run_id="product", problem="12 * 34")
            altered_run = ran(store, run_id="broken")
            assert altered_run["status"] == "solved"
            store.put(records.tree("broken"), "head", {"record": "{", "check": ""})

        def call(*words: str) -> str:
            result = CliRunner().invoke(app, [*words, "--db", db])
            assert result.exit_code == 0, result.output
            return result.output

        listed = call("runs")
        assert re.search(r"\nr +recursive.* +3 +waiting +\d\d stages", listed)
        assert re.search(r"\nbroken +recursive.* +3 +solved +\? ", listed)
        call("report", "--run-id", "product", "--out", str(page))
        assert "The model is a simulated one" in page.read_text()
        assert json.loads(call("report", "--run-id", "product", "--format", "json"))["answer"] == "408"
        assert "step 1.1.2.1:solve: no answer led by the margin" in call("answer", "--run-id", "r")
        call("answer", "1.1.2.1:solve", "--run-id", "r", "--answer", "c")
        with open_store(db) as store:
            assert ran(store, Staged(level), **ASKING)["answer"] == "hgfedcba"

    def test_a_broken_one_is_an_error_in_one_line(self, tmp_path: Path) -> None:
        db = str(tmp_path / "runs.sqlite")
        with open_store(db) as store:
            ran(store)
            store.delete(records.tree("r"), "node-1.2")
        result = CliRunner().invoke(app, ["report", "--run-id", "r", "--db", db])
        assert (result.exit_code, "has no node-1.2" in result.output) == (1, True)


class TestProducts:
    @pytest.mark.parametrize("problem", ["hello", "-1 * 3", HOSTILE, "9" * 1001 + " * 2"])
    def test_what_is_none_is_refused_before_anything_is_asked(self, problem: str) -> None:
        store, drawn = InMemoryStore(), []
        model = simulated_multiplication()

        async def counting(requests: Any) -> Any:
            drawn.append(requests)
            return await model(requests)

        with pytest.raises(ValueError, match=r"is no product of two whole numbers: ask for one such as \"123 \* 456\""):
            ran(store, counting, problem=problem, stages=Products())
        assert ([*journal.runs(store)], drawn) == ([], [])
        with pytest.raises(ValueError, match="is no product"):
            ran(store, problem=problem, model=simulated_multiplication())

    def test_the_graph_for_studio_takes_products_alone_and_the_thread_is_not_lost(self) -> None:
        from runpy import run_path

        from langgraph.checkpoint.memory import InMemorySaver

        graph = run_path(str(ROOT / "graphs" / "recursive.py"))["graph"]
        graph.checkpointer = InMemorySaver()
        thread: Any = {"configurable": {"thread_id": "t"}}
        with pytest.raises(ValueError, match="is no product"):
            graph.invoke({"problem": "twelve times three"}, thread)
        assert graph.invoke({"problem": "12 * 3"}, thread)["answer"] == "36"
