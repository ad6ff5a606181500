"""The simulated provider as its clients meet it, over loopback."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, BaseMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI
from pydantic import SecretStr
from scripted import Counting

from langgraph_maker.simulation.chat_model import SimulatedChatModel
from langgraph_maker.simulation.profiles import Profile
from langgraph_maker.simulation.server import SimulatedServer, Stats, serve
from langgraph_maker.simulation.server.faults import KINDS, Faults
from langgraph_maker.tasks import TowersOfHanoi

TASK = TowersOfHanoi(disks=4)
PROMPT = TASK.prompt(TASK.initial_state())
ROLES = {"system": "system", "human": "user"}
MESSAGES: Any = [{"role": ROLES[message.type], "content": message.content} for message in PROMPT]
NOISY = "sim:error=0.3,flag=0.2"
BODY: dict[str, Any] = {"model": "any", "messages": MESSAGES}


class Reply:
    """What came back of one request made by hand."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status
        self.headers = response.headers
        self.text: str = response.read().decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def ask(url: str, body: Any = BODY, path: str = "/chat/completions", key: str | None = None, **options: Any) -> Reply:
    """Send a body, JSON unless it is bytes, or none to GET."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url + path, data, headers, **options)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Reply(response)
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error)


@contextmanager
def client(provider: SimulatedServer, **options: Any) -> Iterator[Any]:
    """`create` of OpenAI's own client, which makes each request once."""
    with provider.running() as url, OpenAI(base_url=url, api_key="sk-1", max_retries=0, **options) as made:
        yield lambda **more: made.chat.completions.create(**BODY, **more)


@asynccontextmanager
async def chat(provider: SimulatedServer, patience: float = 30, **options: Any) -> AsyncIterator[ChatOpenAI]:
    """A `ChatOpenAI` that makes each request once and leaves no connection behind."""
    with provider.running() as url:
        async with AsyncOpenAI(base_url=url, api_key="sk-1", max_retries=0, timeout=patience) as made:
            completions: Any = made.chat.completions
            key = SecretStr("sk-1")
            yield ChatOpenAI(model="any", base_url=url, api_key=key, max_retries=0, async_client=completions, **options)


def seen(provider: SimulatedServer, enough: Callable[[Stats], bool]) -> Stats:
    """The provider's counts as soon as there are enough."""
    deadline = time.monotonic() + 20
    while not enough(stats := provider.stats):
        assert time.monotonic() < deadline, stats
    return stats


class TestAnswers:
    @pytest.mark.parametrize("temperature", [0, 0.1, None])
    def test_they_are_the_simulated_model_s_own(self, temperature: float | None) -> None:
        model = SimulatedChatModel(task=TASK, model=NOISY, seed=3, temperature=temperature)
        expected = [generation.text for generation in model.generate([PROMPT], n=5).generations[0]]
        with client(SimulatedServer(TASK, NOISY, seed=3)) as create:
            answers = [create(n=3, temperature=temperature), create(n=2, temperature=temperature)]
        assert [choice.message.content for answer in answers for choice in answer.choices] == expected
        assert len(set(expected)) > 1 or temperature == 0

    def test_an_answer_has_what_clients_read(self) -> None:
        with client(SimulatedServer(TASK, Profile(flag=1), seed=1)) as create:
            answer = create(n=2, max_tokens=9)
        assert (answer.object, answer.model, answer.system_fingerprint) == ("chat.completion", "any", "simulated")
        assert [(choice.index, choice.finish_reason) for choice in answer.choices] == [(0, "length"), (1, "length")]
        assert answer.usage.model_dump(exclude_none=True) == {
            "prompt_tokens": 600,
            "completion_tokens": 18,
            "total_tokens": 618,
            "prompt_tokens_details": {"cached_tokens": 0},
        }

    def test_without_a_limit_they_stop_by_themselves(self) -> None:
        with client(SimulatedServer(TASK, Profile())) as create:
            assert create().choices[0].finish_reason == "stop"

    def test_a_prompt_cache_holds_from_the_second_answer_on(self) -> None:
        provider = SimulatedServer(TASK, Profile(), cached_tokens=512)
        with client(provider) as create:
            cached = [create().usage.prompt_tokens_details.cached_tokens for _ in range(3)]
        assert cached == [0, 512, 512]
        assert provider.stats.cached_tokens == 1024

    def test_a_global_cache_of_this_process_is_the_client_s_business(self) -> None:
        set_llm_cache(InMemoryCache())
        try:
            with client(SimulatedServer(TASK, Profile(error=0.5))) as create:
                assert len({create().choices[0].message.content for _ in range(20)}) > 1
        finally:
            set_llm_cache(None)

    def test_any_checkable_task_is_answered(self) -> None:
        class Checked(Counting):
            def read_state(self, messages: list[BaseMessage]) -> Any:
                return int(messages[-1].text)

            def oracle(self, state: Any) -> Any:
                return {"action": "add", "next_state": state + 1}

            def render(self, vote: Any) -> str:
                return str(vote["next_state"])

        with SimulatedServer(Checked(), Profile()).running() as url:
            said = ask(url, {"model": "x", "messages": [{"role": "user", "content": [{"type": "text", "text": "41"}]}]})
        assert said.json["choices"][0]["message"]["content"] == "42"

    def test_the_models_list_has_the_profile(self) -> None:
        with SimulatedServer(TASK, "sim:haiku-4.5,error=0.1").running() as url:
            assert [model["id"] for model in ask(url, None, "/models").json["data"]] == ["haiku-4.5"]


class TestUsage:
    @pytest.mark.parametrize("n", [1, 3])
    async def test_a_client_s_sum_is_the_server_s_count_whatever_fails(self, n: int) -> None:
        provider = SimulatedServer(
            TASK, NOISY, faults="429=0.1,500=0.1,truncated=0.1,cut=0.1,empty=0.1,null=0.1", seed=1
        )
        read: Counter[str] = Counter()
        async with chat(provider) as model:
            results = await asyncio.gather(*(model.agenerate([PROMPT], n=n) for _ in range(60)), return_exceptions=True)
        for result in results:
            if not isinstance(result, BaseException) and result.generations[0]:
                usage = (result.llm_output or {})["token_usage"]
                read.update(answers=1, read=usage["prompt_tokens"], written=usage["completion_tokens"])
                read.update(samples=len(result.generations[0]))
        stats = provider.stats
        assert read == {
            "answers": stats.answered,
            "samples": stats.samples,
            "read": stats.prompt_tokens,
            "written": stats.completion_tokens,
        }
        assert (stats.samples, stats.prompt_tokens) == (n * stats.answered, 600 * stats.answered)
        assert stats.requests == 60 == stats.answered + sum(stats.faults.values())
        assert len(stats.faults) == 6

    def test_the_counts_are_served_too(self) -> None:
        provider = SimulatedServer(TASK, NOISY, faults="500@2")
        with provider.running() as url:
            statuses = [ask(url).status, ask(url).status, ask(url, {}).status]
            served = ask(url.removesuffix("/v1"), None, "/stats").json
        assert statuses == [200, 500, 400]
        assert Stats(**served) == provider.stats
        assert (served["refused"], served["faults"], served["answered"]) == ({"400": 1}, {"500": 1}, 1)


class TestKeys:
    def test_without_keys_all_are_let_in(self) -> None:
        with SimulatedServer(TASK).running() as url:
            assert [ask(url, key=key).status for key in (None, "sk-1")] == [200, 200]

    def test_a_revoked_key_is_refused_from_then_on(self) -> None:
        provider = SimulatedServer(TASK, keys={"sk-1", "sk-2"})
        assert provider.keys is not None
        with provider.running() as url:
            before = ask(url, key="sk-1").status
            provider.keys.discard("sk-1")
            after, other = ask(url, key="sk-1"), ask(url, key="sk-2").status
            models = [ask(url, None, "/models", key=key).status for key in ("sk-1", "sk-2")]
        assert (before, after.status, other, models) == (200, 401, 200, [401, 200])
        assert after.json == {
            "error": {
                "message": "Incorrect API key provided: sk-1.",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_api_key",
            }
        }
        assert provider.stats.refused == {"401": 1}

    def test_a_missing_key_is_refused(self) -> None:
        with SimulatedServer(TASK, keys={"sk-1"}).running() as url:
            refused = ask(url)
        assert (refused.status, refused.json["error"]["message"]) == (401, "You didn't provide an API key.")


class TestRateLimit:
    def test_one_too_many_is_told_how_long_to_wait(self) -> None:
        provider = SimulatedServer(TASK, rate_limit=0.001)
        with provider.running() as url:
            first, second = ask(url), ask(url)
        assert (first.status, second.status) == (200, 429)
        assert 900 < int(second.headers["Retry-After"]) <= 1000
        assert 900_000 < int(second.headers["retry-after-ms"]) <= 1_000_000
        assert second.json["error"]["code"] == "rate_limit_exceeded"
        assert provider.stats.refused == {"429": 1}

    def test_a_client_that_waits_as_told_gets_through(self) -> None:
        provider = SimulatedServer(TASK, rate_limit=40)
        with provider.running() as url, OpenAI(base_url=url, api_key="sk-1", max_retries=9) as made:
            for _ in range(50):
                made.chat.completions.create(**BODY)
        assert provider.stats.answered == 50


class TestLatency:
    def test_it_is_log_normal_around_its_median(self) -> None:  # 99.9 % intervals
        provider, draws = SimulatedServer(TASK, latency=0.8, spread=0.6, seed=5), 5000
        logs = np.log([provider._arrive(0.0)[2] for _ in range(draws)])
        assert abs(logs.mean() - math.log(0.8)) <= 3.29 * 0.6 / math.sqrt(draws)
        assert abs(logs.std() - 0.6) <= 3.29 * 0.6 / math.sqrt(2 * draws)
        z = (logs - logs.mean()) / logs.std()
        assert abs((z**3).mean()) <= 3.29 * math.sqrt(6 / draws)
        assert abs((z**4).mean() - 3) <= 3.29 * math.sqrt(24 / draws)

    def test_it_comes_back_with_the_seed_whatever_the_faults(self) -> None:
        def delays(**options: Any) -> list[float]:
            provider = SimulatedServer(TASK, latency=1, **options)
            return [provider._arrive(0.0)[2] for _ in range(20)]

        assert delays(seed=1) == delays(seed=1, faults="500=0.5,429@3") != delays(seed=2)

    def test_it_passes_before_the_answer_and_a_client_that_leaves_is_not_billed(self) -> None:
        provider = SimulatedServer(TASK, latency=3600, spread=0)
        with client(provider, timeout=0.2) as create:
            with pytest.raises(openai.APITimeoutError):
                create()
            assert seen(provider, lambda stats: stats.abandoned == 1).answered == 0

    def test_a_refusal_does_not_wait(self) -> None:
        with SimulatedServer(TASK, latency=3600, spread=0, faults="429@1,503@2").running() as url:
            assert [ask(url).status, ask(url).status, ask(url, {}).status] == [429, 503, 400]


class TestFaults:
    @pytest.mark.parametrize(
        ("kind", "raised", "code"),
        [
            ("400", openai.BadRequestError, "content_policy"),
            ("401", openai.AuthenticationError, "invalid_api_key"),
            ("403", openai.PermissionDeniedError, "model_not_allowed"),
            ("404", openai.NotFoundError, "model_not_found"),
            ("429", openai.RateLimitError, "rate_limit_exceeded"),
            ("500", openai.InternalServerError, None),
            ("502", openai.InternalServerError, None),
            ("503", openai.InternalServerError, None),
        ],
    )
    async def test_statuses(self, kind: str, raised: type[openai.APIStatusError], code: str | None) -> None:
        async with chat(SimulatedServer(TASK, faults=f"{kind}=1,retry_after=2.5")) as model:
            with pytest.raises(raised) as failure:
                await model.agenerate([PROMPT], n=3)
        assert (failure.value.status_code, failure.value.code) == (int(kind), code)
        assert failure.value.response.headers.get("Retry-After") == ("3" if kind == "429" else None)
        assert ("sk-1" in str(failure.value)) == (kind == "401")

    @pytest.mark.parametrize(
        ("kind", "raised", "message"),
        [
            ("reset", openai.APIConnectionError, "Connection error"),
            ("cut", openai.APIConnectionError, "Connection error"),
            ("timeout", openai.APITimeoutError, "timed out"),
            ("truncated", json.JSONDecodeError, "Unterminated string"),
            ("html", ValueError, "got str: '<html>"),
            ("null", TypeError, "null value for 'choices'"),
        ],
    )
    async def test_answers_that_are_none(self, kind: str, raised: type[Exception], message: str) -> None:
        provider = SimulatedServer(TASK, faults=f"{kind}=1")
        async with chat(provider, patience=0.2) as model:
            with pytest.raises(raised, match=message):
                await model.agenerate([PROMPT], n=3)
        assert provider.stats == Stats(requests=1, faults={kind: 1})

    async def test_empty_choices(self) -> None:
        async with chat(SimulatedServer(TASK, faults="empty=1")) as model:
            assert (await model.agenerate([PROMPT], n=3)).generations == [[]]

    def test_every_kind_fails_a_client(self) -> None:
        for kind in KINDS:
            with client(SimulatedServer(TASK, faults=f"{kind}=1"), timeout=0.2) as create:
                try:
                    answer = create(service_tier="flex")  # which alone can be unavailable
                except (openai.APIError, json.JSONDecodeError):
                    continue
                assert isinstance(answer, str) or not answer.choices, kind

    def test_a_reset_is_one_of_tcp(self) -> None:
        running = SimulatedServer(TASK, faults="reset=1").running()
        with running as url, by_hand(url) as sock, pytest.raises(ConnectionResetError):
            sock.recv(1)

    @pytest.mark.parametrize(("kind", "all_of_it"), [("truncated", True), ("cut", False)])
    def test_a_body_that_ends_too_soon(self, kind: str, all_of_it: bool) -> None:
        with (
            SimulatedServer(TASK, faults=f"{kind}=1").running() as url,
            by_hand(url) as sock,
            sock.makefile("rb") as stream,
        ):
            head, _, body = stream.read().partition(b"\r\n\r\n")
        [announced] = [int(line.split()[1]) for line in head.lower().splitlines() if line.startswith(b"content-length")]
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert (len(body) == announced) is all_of_it
        assert body.startswith(b'{"id": "chatcmpl-')
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)

    def test_an_outage_goes_before_keys_and_prompts(self) -> None:
        provider = SimulatedServer(TASK, keys=set(), faults="outage@0+3600")
        with provider.running() as url:
            assert ask(url, b"{").status == 503
            with pytest.raises(ConnectionResetError):
                ask(url)
        assert provider.stats.faults == {"503": 1, "reset": 1}

    def test_they_may_begin_and_end_while_it_runs(self) -> None:
        provider = SimulatedServer(TASK)
        with provider.running() as url:
            before = ask(url).status
            provider.faults = Faults.parse("503=1")
            during = ask(url).status
            provider.faults = Faults()
            assert (before, during, ask(url).status) == (200, 503, 200)

    def test_they_come_back_with_the_seed_at_their_rate(self) -> None:  # 99.9 % interval
        def kinds(seed: int) -> list[str | None]:
            provider = SimulatedServer(TASK, faults="429=0.1,reset=0.03", seed=seed)
            return [provider._arrive(0.0)[1] for _ in range(5000)]

        assert kinds(1) == kinds(1) != kinds(2)
        assert abs(kinds(1).count("429") / 5000 - 0.1) <= 3.29 * math.sqrt(0.1 * 0.9 / 5000)


@contextmanager
def by_hand(url: str) -> Iterator[socket.socket]:
    """A connection on which one request has been sent, to be closed after its answer."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.sendall(raw(close=True))
        yield sock


def raw(body: bytes = json.dumps(BODY).encode(), *, close: bool = False) -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    return (head + "Connection: close\r\n" * close + "\r\n").encode() + body


class TestRefusals:
    async def test_a_model_that_refuses_temperature(self) -> None:
        async with chat(SimulatedServer(TASK, refuses={"temperature"})) as model:
            with pytest.raises(openai.BadRequestError, match="Unsupported value: 'temperature'") as refused:
                await model.agenerate([PROMPT], temperature=0.1)
            assert (refused.value.param, refused.value.code) == ("temperature", "unsupported_value")
            assert (await model.agenerate([PROMPT])).generations[0]

    async def test_a_server_that_ignores_n(self) -> None:
        provider = SimulatedServer(TASK, ignores={"n"})
        async with chat(provider) as model:
            assert len((await model.agenerate([PROMPT], n=3)).generations[0]) == 1
        assert provider.stats.samples == 1

    def test_a_prompt_of_another_task_is_refused_with_the_reason(self) -> None:
        with SimulatedServer(TASK).running() as url:
            refused = ask(url, {"model": "x", "messages": [{"role": "user", "content": "Hello"}]})
        assert refused.status == 400
        assert "not a prompt of TowersOfHanoi" in refused.json["error"]["message"]

    @pytest.mark.parametrize(
        ("body", "path", "status"),
        [
            (b"{", "/chat/completions", 400),
            (b"\0" * (10 * 2**20 + 1), "/chat/completions", 413),
            ({**BODY, "stream": True}, "/chat/completions", 400),
            ({**BODY, "n": 10**9}, "/chat/completions", 400),
            (BODY, "/completions", 404),
            (None, "/chat/completions", 405),
        ],
    )
    def test_every_error_has_openai_s_shape(self, body: Any, path: str, status: int) -> None:
        with SimulatedServer(TASK).running() as url:
            refused = ask(url, body, path)
        assert refused.status == status
        assert set(refused.json["error"]) == {"message", "type", "param", "code"}

    def test_a_bug_in_a_task_is_logged_and_not_sent(self, caplog: pytest.LogCaptureFixture) -> None:
        class Broken(TowersOfHanoi):
            def read_state(self, messages: Any) -> Any:
                if len(messages) > 1:
                    return super().read_state(messages)
                raise KeyError("secret of the task")

        provider = SimulatedServer(Broken(4))
        with provider.running() as url:
            failed, fine = ask(url, {**BODY, "messages": MESSAGES[1:]}), ask(url)
        assert (failed.status, failed.json["error"]["type"], fine.status) == (500, "server_error", 200)
        assert "secret of the task" not in failed.text
        assert "secret of the task" in caplog.text
        assert provider.stats.refused == {"500": 1}

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"latency": -1}, "latency is a number from 0 to 3600, not -1"),
            ({"latency": math.nan}, "latency"),
            ({"spread": 6}, "spread"),
            ({"cached_tokens": 601}, "cached_tokens is a number from 0 to 600, not 601"),
            ({"rate_limit": 0}, "rate_limit is a number of requests a second above 0, or None, not 0"),
            ({"refuses": {"stream"}}, "refuses: no parameter 'stream'"),
            ({"ignores": {"N"}}, "ignores: no parameter 'N'"),
            ({"faults": "500"}, "'500' is no fault"),
            ({"model": "gpt-9"}, "unknown model 'gpt-9'"),
        ],
    )
    def test_bad_settings(self, options: dict[str, Any], why: str) -> None:
        with pytest.raises(ValueError, match=why):
            SimulatedServer(TASK, **options)

    def test_one_key_alone_is_no_set_and_is_not_shown(self) -> None:
        with pytest.raises(ValueError, match="keys is a set of strings") as refused:
            SimulatedServer(TASK, keys="sk-1")
        assert "sk-1" not in str(refused.value)

    def test_a_task_without_truth_has_no_answers(self) -> None:
        with pytest.raises(TypeError, match="cannot be simulated"):
            SimulatedServer(Counting())


async def test_two_thousand_connections_at_once() -> None:
    provider = SimulatedServer(TASK, Profile())
    with provider.running() as url:
        host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
        streams = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in range(2000)))
        for _ in range(2):  # the second time shows that all are still there
            for _, writer in streams:
                writer.write(raw())
            heads = await asyncio.gather(*(reader.readuntil(b"\r\n\r\n") for reader, _ in streams))
            assert all(head.startswith(b"HTTP/1.1 200 OK") for head in heads)
            await asyncio.gather(*(reader.readuntil(b'"simulated"}') for reader, _ in streams))
        for _, writer in streams:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in streams))
    assert provider.stats.answered == 4000


def open_files() -> int:
    files = Path("/proc/self/fd")  # Linux only
    return len(list(files.iterdir())) if files.exists() else 0


class TestStopping:
    def test_it_leaves_no_thread_socket_or_task_even_with_requests_waiting(self) -> None:
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()  # what a test before this one left is not this one's
        threads, files = set(threading.enumerate()), open_files()
        provider = SimulatedServer(TASK, latency=3600, spread=0, faults="timeout@2")
        with provider.running() as url, by_hand(url) as waiting, by_hand(url):
            seen(provider, lambda stats: stats.requests == 2)
            address = waiting.getpeername()
        gc.collect()  # what was left open would warn here, and warnings are errors
        assert provider.stats == Stats(requests=2, abandoned=1, faults={"timeout": 1})
        assert (set(threading.enumerate()), open_files()) == (threads, files)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=30).close()

    def test_waiting_clients_are_told_by_the_end_of_their_connection(self) -> None:
        provider = SimulatedServer(TASK, faults="timeout=1")
        with socket.socket() as sock:
            with provider.running() as url:
                host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
                sock.connect((host, int(port)))
                sock.sendall(raw())
                seen(provider, lambda stats: stats.faults == {"timeout": 1})
            sock.settimeout(30)
            assert sock.recv(1) == b""

    def test_it_may_run_again_and_counts_on(self) -> None:
        provider = SimulatedServer(TASK)
        with provider.running() as url:
            ask(url)
            port = int(url.removesuffix("/v1").rpartition(":")[2])
        with provider.running(port) as again:
            assert again == url
            ask(again)
        assert provider.stats.answered == 2

    async def test_it_runs_beside_a_loop(self) -> None:
        async with chat(SimulatedServer(TASK, Profile())) as model:
            [answer] = (await model.agenerate([PROMPT])).generations[0]
        assert TASK.parse(answer.text) == TASK.oracle(TASK.initial_state())

    def test_an_error_in_the_block_stops_it(self) -> None:
        before = set(threading.enumerate())
        with pytest.raises(KeyError), SimulatedServer(TASK).running():
            raise KeyError
        assert set(threading.enumerate()) == before

    @pytest.mark.parametrize(("host", "port"), [("127.0.0.1", None), ("no such host", 0), ("x" * 70, 0)])
    def test_where_it_cannot_listen_it_says_so(self, host: str, port: int | None) -> None:
        before = set(threading.enumerate())
        with SimulatedServer(TASK).running() as url:
            taken = int(url.removesuffix("/v1").rpartition(":")[2])
            second = SimulatedServer(TASK).running(taken if port is None else port, host)
            with pytest.raises(OSError, match=f"cannot listen on {host}, port .*; give another port or host"), second:
                pass
        assert set(threading.enumerate()) == before

    def test_ports_have_a_range(self) -> None:
        running = SimulatedServer(TASK).running(65_536)
        with pytest.raises(ValueError, match="port is a number from 0 to 65535, not 65536"), running:
            pass


class TestServe:
    def test_until_told(self) -> None:
        stop, urls = threading.Event(), []

        def ready(url: str) -> None:
            urls.append(ask(url).status)
            stop.set()

        serve(SimulatedServer(TASK), port=0, stop=stop, on_ready=ready)
        assert urls == [200]

    def test_until_interrupted(self) -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is born ignoring it
        threads = set(threading.enumerate())
        try:
            serve(SimulatedServer(TASK), port=0, on_ready=lambda _: signal.raise_signal(signal.SIGINT))
        finally:
            signal.signal(signal.SIGINT, before)
        assert set(threading.enumerate()) == threads

    def test_ipv6(self) -> None:
        with SimulatedServer(TASK).running(host="::1") as url:
            assert url.startswith("http://[::1]:")
            assert ask(url).status == 200


async def test_a_voter_s_usual_round() -> None:
    """One call for all later votes of a ballot: n samples, the prompt billed once, usage as the message has it."""
    provider = SimulatedServer(TASK, Profile(output_tokens=100, length_spread=0))
    async with chat(provider, temperature=0.1, max_completion_tokens=850) as model:
        one = await model.ainvoke(PROMPT)
        two = await model.agenerate([PROMPT], n=2)
    assert isinstance(one, AIMessage)
    assert one.usage_metadata is not None
    assert (one.usage_metadata["input_tokens"], one.usage_metadata["output_tokens"]) == (600, 100)
    assert (two.llm_output or {})["token_usage"]["total_tokens"] == 800
    assert (provider.stats.requests, provider.stats.samples, provider.stats.prompt_tokens) == (2, 3, 1200)
