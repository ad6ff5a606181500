"""Samples are independent draws from any kind of model."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import (
    ConfigurableField,
    RunnableBranch,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from pydantic import SecretStr
from scripted import Recording, Scripted, script

from langgraph_maker.core.red_flags import Matches, TokenLimit, Truncated
from langgraph_maker.core.state import Request, never_waits
from langgraph_maker.models.chat_sampler import as_sampler, token_allowance
from langgraph_maker.models.event_loop import run_sync
from langgraph_maker.prebuilt.voting import create_voting_graph


def requests(n: int = 3, temperature: float | None = 0.1) -> list[Request]:
    return [Request([HumanMessage("?")], temperature, "q", number) for number in range(n)]


def draw(model: Any, asked: list[Request] | None = None, **options: Any) -> list[Any]:
    return list(run_sync(as_sampler(model, **options)(asked or requests())))


def texts(answers: Iterator[str] | None = None) -> Recording:
    return Recording(answer=lambda text: next(answers) if answers else text, calls=[])


class TestKinds:
    def test_chat_model(self) -> None:
        assert [message.text for message in draw(texts())] == ["?", "?", "?"]

    def test_bindings_keep_their_arguments_but_no_seed(self) -> None:  # a common seed repeats one sample
        model = texts()
        draw(model.bind(logprobs=True, seed=7).bind(stop=["x"]).with_config(tags=["mine"]))
        assert [{k: call.get(k) for k in ("logprobs", "seed")} for call in model.calls] == [
            {"logprobs": True, "seed": None}
        ] * 3

    @pytest.mark.parametrize("answer", ["text", AIMessage("text")])
    def test_runnables_from_messages_to_a_message_or_text(self, answer: Any) -> None:
        assert [message.text for message in draw(RunnableLambda(lambda messages: answer))] == ["text"] * 3

    def test_retries_and_fallbacks_of_the_user_stay(self) -> None:
        answers: Iterator[Any] = iter([OSError("once"), "fine"])
        model = Recording(answer=lambda text: next(answers), calls=[])
        assert [m.text for m in draw(model.with_retry(wait_exponential_jitter=False), requests(1))] == ["fine"]
        broken = Recording(answer=lambda text: OSError("always"), calls=[])
        assert [m.text for m in draw(broken.with_fallbacks([texts()]), requests(1))] == ["?"]

    def test_a_sampler_is_taken_as_it_is(self) -> None:
        sampler = script("A")
        assert as_sampler(sampler) is sampler

    def test_an_answer_that_is_no_message_is_named(self) -> None:
        [failure] = draw(RunnableLambda(lambda messages: {"content": "?"}), requests(1))
        assert isinstance(failure, TypeError)
        assert "not dict" in str(failure)

    def test_a_failed_call_stands_in_its_place_and_loses_none(self) -> None:
        answers = iter(["a", TimeoutError("slow"), "b"])
        lock = threading.Lock()

        def answer(_: str) -> Any:
            with lock:
                return next(answers)

        kinds = sorted(type(response).__name__ for response in draw(Recording(answer=answer, calls=[])))
        assert kinds == ["AIMessage", "AIMessage", "TimeoutError"]


class TestIndependence:
    @pytest.fixture
    def cached(self) -> Iterator[None]:
        set_llm_cache(InMemoryCache())
        yield
        set_llm_cache(None)

    def test_a_global_cache_answers_no_vote(self, cached: None) -> None:
        model = texts()
        draw(model)
        assert len(model.calls) == 3

    def test_the_users_model_stays_as_it_was(self) -> None:
        model = texts()
        before = model.model_dump(exclude={"answer", "calls"})
        draw(model, requests(2), max_tokens=850)
        assert model.model_dump(exclude={"answer", "calls"}) == before


class TestSettings:
    def test_temperature_and_length_reach_the_model(self) -> None:  # lesson 8
        model = texts()
        draw(model, [*requests(1, 0.0), *requests(1, 0.1), *requests(1, None)], max_tokens=850)
        assert sorted(
            (call["temperature"] is None, call["temperature"] or 0, call["max_tokens"]) for call in model.calls
        ) == [
            (False, 0.0, 850),
            (False, 0.1, 850),
            (True, 0, 850),
        ]

    def test_a_limit_of_the_users_own_stays(self) -> None:
        model = Recording(answer=str, calls=[], max_tokens=50)
        draw(model, requests(1), max_tokens=850)
        assert model.calls[0]["max_tokens"] == 50

    def test_the_allowance_lies_beyond_the_strictest_limit(self) -> None:
        assert token_allowance(TokenLimit(750)) == 850
        assert token_allowance(Truncated() | TokenLimit(900) | TokenLimit(300)) == 400
        assert token_allowance(Matches("x")) is None
        assert token_allowance(None) is None


last = RunnableLambda(lambda given: given["messages"])


class TestWrapped:
    """Samples are independent draws at their own temperature, whatever the model is wrapped in."""

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda model: model.bind(seed=1, temperature=0.9),
            lambda model: model.with_retry(stop_after_attempt=2),
            lambda model: model.with_fallbacks([model]),
            lambda model: model.with_config(tags=["mine"]).bind(seed=2).with_retry(),
            lambda model: RunnableLambda(lambda messages: messages) | model,
            lambda model: model.configurable_fields(temperature=ConfigurableField("heat")),
            lambda model: RunnableParallel(raw=model),
            lambda model: RunnableBranch((lambda _: False, model), model.bind(seed=4)),
            lambda model: RunnableParallel(messages=lambda it: it) | RunnablePassthrough.assign(raw=last | model),
        ],
    )
    def test_no_cache_no_seed_and_the_requests_temperature(self, wrap: Any) -> None:
        set_llm_cache(InMemoryCache())
        try:
            model = texts()
            draw(wrap(model), [*requests(2, 0.0), *requests(1, 0.1)], max_tokens=850)
        finally:
            set_llm_cache(None)
        assert sorted((call["temperature"], call["max_tokens"], call.get("seed")) for call in model.calls) == [
            (0.0, 850, None),
            (0.0, 850, None),
            (0.1, 850, None),
        ]

    def test_an_error_shows_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Keyed(Recording):
            api_key: SecretStr

        monkeypatch.setenv("OPENAI_API_KEY", "key-of-the-environment")
        error = PermissionError("refused: key-of-the-model, key-of-the-environment")
        model = Keyed(answer=lambda _: error, calls=[], api_key=SecretStr("key-of-the-model"))
        [failure] = draw(model.with_retry(stop_after_attempt=1), requests(1))
        assert str(failure) == "refused: [key], [key]"
        assert failure.__cause__ is None
        assert "key-of" not in "".join(traceback.format_exception(failure))


class TestRunSync:
    def test_all_calls_share_one_background_loop(self) -> None:
        async def loop() -> Any:
            return asyncio.get_running_loop()

        assert run_sync(loop()) is run_sync(loop())

    async def test_inside_a_running_loop(self) -> None:
        async def answer() -> int:
            return 42

        assert run_sync(answer()) == 42

    def test_errors_come_through(self) -> None:
        async def fail() -> None:
            raise KeyError("x")

        with pytest.raises(KeyError, match="x"):
            run_sync(fail())

    def test_an_interrupt_cancels_what_it_waits_for(self) -> None:
        cancelled = threading.Event()
        began = threading.Event()

        async def endless() -> None:
            began.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        def interrupt() -> None:
            began.wait(10)
            main = threading.main_thread().ident or 0
            while sys._current_frames()[main].f_code.co_name != "wait":
                pass
            signal.pthread_kill(main, signal.SIGINT)

        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is born ignoring it
        try:
            threading.Thread(target=interrupt).start()
            with pytest.raises(KeyboardInterrupt):
                run_sync(endless())
        finally:
            signal.signal(signal.SIGINT, before)
        assert cancelled.wait(10)


class TestNeverWaits:
    def test_it_runs_where_the_graph_runs(self) -> None:
        threads = set()

        @never_waits
        async def sampler(requests: Any) -> list[AIMessage]:
            threads.add(threading.get_ident())
            return [AIMessage("A") for _ in requests]

        graph = create_voting_graph(sampler, prompt=str, parse=str).compile()
        assert graph.invoke({"subtasks": [{"id": "q", "state": "?"}]})["decisions"][0]["vote"] == "A"
        assert threads == {threading.get_ident()}

    def test_one_that_waits_after_all_is_told(self) -> None:
        @never_waits
        async def sampler(requests: Any) -> list[AIMessage]:
            await asyncio.sleep(0)
            return []

        graph = create_voting_graph(sampler, prompt=str, parse=str).compile()
        with pytest.raises(RuntimeError, match="take the mark off"):
            graph.invoke({"subtasks": [{"id": "q", "state": "?"}]})


def test_callbacks_of_the_graph_see_every_sample() -> None:
    class Seen(BaseCallbackHandler):
        def __init__(self) -> None:
            self.samples: list[tuple[Any, ...]] = []

        def on_chat_model_start(
            self, serialized: Any, messages: Any, *, metadata: Any = None, tags: Any = None, **_: Any
        ) -> None:
            self.samples.append((metadata["ballot"], metadata["sample"], "nostream" in tags))

    seen = Seen()
    graph = create_voting_graph(texts(), prompt=str, parse=str).compile()
    graph.invoke({"subtasks": [{"id": "q", "state": "?"}]}, {"callbacks": [seen]})
    assert sorted(seen.samples) == [("q", 0, True), ("q", 1, True), ("q", 2, True)]


def test_samples_of_a_round_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "langgraph_maker.models.chat_sampler._TURN", 0.05
    )  # the first call goes alone, though not for long
    together = threading.Barrier(3, timeout=20)

    def answer(_: str) -> str:
        together.wait()
        return "A"

    assert [message.text for message in draw(Recording(answer=answer, calls=[]))] == ["A"] * 3


def test_scripted_models_are_samplers() -> None:
    assert [m.text for m in draw(Scripted(lambda request: str(request.number)))] == ["0", "1", "2"]
