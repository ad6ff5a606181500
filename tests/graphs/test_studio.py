"""The graphs in a real LangGraph dev server, as Studio sees them. Needs the extra `studio`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from paths import ROOT, SUPPORT
from studio import assistant, copied, new_thread, serving, validate

from langgraph_maker.nodes.state import MakerOutput
from langgraph_maker.tasks import TowersOfHanoi

pytestmark = pytest.mark.studio
GRAPHS = set(json.loads((ROOT / "langgraph.json").read_text())["graphs"])
HANOI = 31  # steps


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of this project's graphs, and of a host app that has nodes of ours."""
    home = copied(tmp_path_factory.mktemp("studio"))
    shutil.copy(SUPPORT / "studio_host.py", home / "graphs")
    settings = json.loads((home / "langgraph.json").read_text())
    settings["graphs"]["host"] = "./graphs/studio_host.py:graph"
    (home / "langgraph.json").write_text(json.dumps(settings))
    with serving(home) as client:
        yield client


def streamed(client: Any, graph: str, **options: Any) -> list[tuple[str, bool, Any]]:
    """What a run streams: the kind of each event, whether it comes from a subgraph, its data."""
    modes = ["values", "updates", "messages-tuple", "custom"]
    stream = client.runs.stream(
        options.pop("thread", None) or new_thread(client),
        assistant(client, graph),
        stream_mode=modes,
        stream_subgraphs=True,
        **options,
    )
    return [(event.event.partition("|")[0], "|" in event.event, event.data) for event in stream]


def test_langgraph_json_is_valid() -> None:
    assert f"({len(GRAPHS)} graphs found)" in validate(ROOT)


def test_every_graph_has_an_assistant(client: Any) -> None:
    assert {each["graph_id"] for each in client.assistants.search()} == GRAPHS | {"host"}


@pytest.mark.parametrize(
    ("graph", "nodes"),
    [
        ("hanoi", {"decompose", "vote:sample", "vote:guard", "vote:tally", "update", "escalate"}),
        ("vote", {"vote:sample", "vote:guard", "vote:tally"}),
        ("agent", {"model", "tools"}),
        ("review", {"decompose", "vote:sample", "escalate", "ask", "update"}),
        ("host", {"count", "vote:sample", "vote:guard", "vote:tally", "ask"}),
    ],
)
def test_the_picture_shows_the_roles(client: Any, graph: str, nodes: set[str]) -> None:
    drawn = {node["id"] for node in client.assistants.get_graph(assistant(client, graph), xray=True)["nodes"]}
    assert nodes <= drawn


class TestForms:
    def test_hanoi(self, client: Any) -> None:
        schemas = client.assistants.get_schemas(assistant(client, "hanoi"))
        assert set(schemas["input_schema"]["properties"]) == {"run_id", "answers"}
        assert {"status", "final_state", "steps", "samples"} <= set(schemas["output_schema"]["properties"])

    def test_vote(self, client: Any) -> None:
        schemas = client.assistants.get_schemas(assistant(client, "vote"))
        assert set(schemas["input_schema"]["properties"]) == {"question", "answers"}
        assert schemas["input_schema"]["required"] == ["question"]
        assert {"answer", "status", "counts"} <= set(schemas["output_schema"]["properties"])

    @pytest.mark.parametrize("graph", sorted(GRAPHS))
    def test_every_setting_is_described_and_belongs_to_a_node(self, client: Any, graph: str) -> None:
        settings = client.assistants.get_schemas(assistant(client, graph))["context_schema"]["properties"]
        assert {"k", "temperature", "first_temperature", "max_samples_per_step"} <= set(settings)
        assert all(setting["description"] and setting["langgraph_nodes"] for setting in settings.values())
        assert settings["k"]["minimum"] == 1

    @pytest.mark.parametrize("graph", ["vote", "agent"])
    def test_the_defaults_need_no_key(self, client: Any, graph: str) -> None:
        settings = client.assistants.get_schemas(assistant(client, graph))["context_schema"]["properties"]
        assert (settings["model"]["default"], settings["k"]["default"]) == ("simulated", 3)


class TestRuns:
    def test_hanoi_streams_and_solves(self, client: Any) -> None:
        thread = new_thread(client)
        events = streamed(client, "hanoi", thread=thread, input={})
        told = [data for kind, _, data in events if kind == "custom"]
        assert (told[0]["event"], told[-1]["event"]) == ("run.started", "run.ended")
        assert sum(event["steps"] for event in told if event["event"] == "round.ended") == HANOI
        inside = {name for kind, below, data in events if kind == "updates" and below for name in data}
        assert inside == {"sample", "guard", "tally"}
        assert not [kind for kind, _, _ in events if kind in {"error", "messages"}]
        state = client.threads.get_state(thread)["values"]
        assert (state["status"], state["steps"], state["run_id"]) == ("solved", HANOI, thread)

    def test_vote_streams_its_votes(self, client: Any) -> None:
        question = {"question": "Is this a test?", "answers": ["yes", "no"]}
        events = streamed(client, "vote", input=question, context={"k": 4})
        assert not [kind for kind, _, _ in events if kind in {"error", "messages"}]
        standings = [data["ballots"][0] for kind, below, data in events if kind == "custom" and below]
        counted = [sum(count["count"] for count in standing["counts"]) for standing in standings]
        assert counted == sorted(counted)
        answer = events[-1][2]
        assert (answer["status"], answer["model"]) == ("decided", "simulated")
        assert answer["counts"][0] == {"vote": answer["answer"], "count": max(c["count"] for c in answer["counts"])}
        assert sorted(answer["counts"], key=str) == sorted(standings[-1]["counts"], key=str)
        first, *others = sorted((count["count"] for count in answer["counts"]), reverse=True)
        assert first - max(others, default=0) == 4

    def test_the_agent_votes_on_a_call_and_makes_it_once(self, client: Any) -> None:
        thread = new_thread(client)
        asked = {"messages": [{"role": "user", "content": "Order 40 bolts."}]}
        events = streamed(client, "agent", thread=thread, input=asked, context={"k": 5})
        assert not [data for kind, _, data in events if kind == "error"]
        assert len([data for kind, below, data in events if kind == "custom" and below]) >= 2
        _, call, done, answer = client.threads.get_state(thread)["values"]["messages"]
        [made] = call["tool_calls"]
        assert (made["name"], made["args"]) == ("order", {"article": "bolt", "pieces": 40})
        assert (done["type"], done["content"]) == ("tool", "ordered 40 of bolt")
        assert answer["content"] == "Ordered 40 of bolt (a simulated model)."
        for voted in (call, answer):
            first, *others = [count["count"] for count in voted["response_metadata"]["vote"]["counts"]]
            assert first - max(others, default=0) == 5

    def test_settings_of_an_assistant(self, client: Any) -> None:
        made = client.assistants.create("hanoi", context={"k": 6})["assistant_id"]
        result = client.runs.wait(new_thread(client), made, input={})
        assert result["status"] == "solved"
        assert result["samples"] >= 6 * HANOI
        client.assistants.delete(made)

    def test_two_runs_on_one_store_do_not_touch_each_other(self, client: Any) -> None:
        asked = {new_thread(client): 2, new_thread(client): 5}
        runs = {
            thread: client.runs.create(thread, assistant(client, "hanoi"), input={}, context={"k": k})["run_id"]
            for thread, k in asked.items()
        }
        for thread, k in asked.items():
            result = client.runs.join(thread, runs[thread])
            assert (result["status"], result["steps"], result["run_id"]) == ("solved", HANOI, thread)
            assert result["samples"] >= k * HANOI
        found = client.store.search_items(["langgraph_maker", "headers"], limit=100)["items"]
        headers = [json.loads(item["value"]["header"]) for item in found]
        ks = {header["run_id"]: header["k"] for header in headers if header["run_id"] in asked}
        assert ks == asked


INTERRUPTS: list[Any] = [("host", {"status": "mine", "steps": 2}, {"answer": "A"}, "yes", {"approved": "yes"})]
"""A graph, its input, what it asks, what it is told, and what its state has of it."""


@pytest.mark.parametrize(("graph", "given", "asked", "told", "after"), INTERRUPTS)
def test_an_interrupt_and_its_resume(client: Any, graph: str, given: Any, asked: Any, told: Any, after: Any) -> None:
    thread = new_thread(client)
    client.runs.wait(thread, assistant(client, graph), input=given)
    assert client.threads.get(thread)["status"] == "interrupted"
    [waiting] = client.threads.get_state(thread)["interrupts"]
    assert waiting["value"] == asked
    before = client.threads.get_state(thread)["values"]
    client.runs.wait(thread, assistant(client, graph), command={"resume": told})
    assert client.threads.get(thread)["status"] == "idle"
    assert client.threads.get_state(thread)["values"] == {**before, **after}


def test_a_hard_step_asks_a_human_with_a_form(client: Any) -> None:
    thread, asked = new_thread(client), 0
    client.runs.wait(thread, assistant(client, "review"), input={})
    while client.threads.get(thread)["status"] == "interrupted":
        [waiting] = client.threads.get_state(thread)["interrupts"]
        question, asked = waiting["value"], asked + 1
        assert question["form"]["properties"].keys() == {"pick", "answer", "retry", "abort"}
        assert waiting["response_schema"] == question["form"]
        assert len(question["candidates"]) >= 2
        samples = client.threads.get_state(thread)["values"]["samples"]
        client.runs.wait(thread, assistant(client, "review"), command={"resume": {"pick": 99}})
        [again] = client.threads.get_state(thread)["interrupts"]
        assert "no candidate 99" in again["value"]["problem"]
        assert client.threads.get_state(thread)["values"]["samples"] == samples
        answer = ORACLE.render(ORACLE.oracle(question["state"]))
        client.runs.wait(thread, assistant(client, "review"), command={"resume": {"answer": answer}})
    state = client.threads.get_state(thread)["values"]
    assert (state["status"], state["steps"], asked > 0) == ("solved", 15, True)


ORACLE = TowersOfHanoi(4)


def test_a_run_elsewhere_is_a_node_of_a_graph_here(client: Any) -> None:
    remote: Any = RemoteGraph("hanoi", sync_client=client)
    app: Any = StateGraph(MakerOutput).add_node("hanoi", remote).add_edge(START, "hanoi").compile()
    assert app.invoke({})["status"] == "solved"
    assert remote.invoke({}, context={"k": 5})["samples"] >= 5 * HANOI


def test_a_node_of_ours_leaves_the_hosts_keys_alone(client: Any) -> None:
    thread = new_thread(client)
    client.runs.wait(thread, assistant(client, "host"), input={"status": "mine", "steps": 2})
    assert client.threads.get_state(thread)["values"] == {"status": "mine", "steps": 2, "samples": 6, "answer": "A"}


def test_a_cancelled_run_goes_on_with_what_it_paid_for(client: Any) -> None:
    thread, rounds, run_id = new_thread(client), 0, ""
    stream = client.runs.stream(
        thread,
        assistant(client, "host"),
        input={"status": "mine", "steps": 4, "hangs": True},
        stream_mode=["custom"],
        stream_subgraphs=True,
        on_disconnect="continue",
    )
    for event in stream:
        run_id = event.data.get("run_id", run_id) if event.event == "metadata" else run_id
        rounds += event.event.startswith("custom") and event.data["event"] == "round.ended"
        if rounds == 2:  # and the third step hangs
            break
    client.runs.cancel(thread, run_id, wait=True)
    assert client.runs.get(thread, run_id)["status"] == "interrupted"
    events = streamed(client, "host", thread=thread, input=None)
    told = [data for kind, _, data in events if kind == "custom"]
    assert sum(event["event"] == "round.ended" for event in told) == 2
    assert client.threads.get_state(thread)["values"]["samples"] == 4 * 3


@pytest.mark.parametrize(
    ("graph", "given", "context", "message"),
    [
        ("hanoi", {}, {"k": 0}, "k\n  Input should be greater than or equal to 1"),
        ("hanoi", {}, {"temperature": "hot"}, "temperature\n  Input should be a valid number"),
        ("hanoi", {}, {"k": 5, "max_samples_per_step": 2}, "max_samples_per_step is a whole number of at least k = 5"),
        ("vote", {"question": "?"}, {"k": 0}, "k\n  Input should be greater than or equal to 1"),
        ("vote", {"question": "?"}, {"forbidden": "("}, "no regular expression: missing )"),
        ("vote", {"question": "?"}, {"model": "nobody"}, "unknown model 'nobody'"),
        ("vote", {"question": "?"}, {"model": "openai:any"}, "OPENAI_API_KEY"),
        ("vote", {"question": " "}, None, "there is no question"),
        ("agent", {"messages": "Hello"}, {"k": 0}, "k\n  Input should be greater than or equal to 1"),
        ("agent", {"messages": "Hello"}, {"model": "nobody"}, "unknown model 'nobody'"),
    ],
)
def test_bad_settings_are_refused_in_words(client: Any, graph: str, given: Any, context: Any, message: str) -> None:
    [error] = [data for kind, _, data in streamed(client, graph, input=given, context=context) if kind == "error"]
    assert message in error["message"]


def test_a_recursive_run_shows_its_stages_and_solves(client: Any) -> None:
    recursive = assistant(client, "recursive")
    nodes = {node["id"] for node in client.assistants.get_graph(recursive, xray=True)["nodes"]}
    assert {"frontier", "vote:sample", "vote:guard", "vote:tally", "escalate", "grow"} <= nodes
    assert set(client.assistants.get_schemas(recursive)["input_schema"]["properties"]) == {
        "problem",
        "run_id",
        "answers",
    }
    thread = new_thread(client)
    modes = ["updates", "messages", "custom"]
    stream = client.runs.stream(
        thread, recursive, input={"problem": "12 * 34"}, stream_mode=modes, stream_subgraphs=True
    )
    events = [event for event in stream if event.event.split("|")[0] in {"custom", "error"}]
    assert {event.data["event"] for event in events} == {"node.decided", "tree.ended"}
    state = client.threads.get_state(thread)["values"]
    assert (state["status"], state["answer"], state["run_id"]) == ("solved", "408", thread)
