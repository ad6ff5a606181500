"""The simulated provider itself, and how it is served."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict
from math import exp
from typing import Any, Final

import numpy as np

from langgraph_maker.core.extras import install
from langgraph_maker.core.foreign import excerpt

try:
    from aiohttp import web
except ImportError as missing:  # pragma: no cover - the test environment has the extra
    raise ImportError(f"the provider needs an extra ({missing}): {install('serve')}") from missing

from langgraph_maker.core.task import Task
from langgraph_maker.simulation.chat_model import SimulatedChatModel
from langgraph_maker.simulation.profiles import Profile, read_spec
from langgraph_maker.simulation.server.batch_api import add_routes
from langgraph_maker.simulation.server.batch_jobs import BatchFaults, BatchJobs
from langgraph_maker.simulation.server.chat_api import PARAMETERS, ApiError, ChatRequest, completion, read_request
from langgraph_maker.simulation.server.counts import Stats, Tally
from langgraph_maker.simulation.server.faults import Faults, TokenBucket
from langgraph_maker.simulation.server.http_faults import errors_as_json, fail, key_of, too_many, wrong_key

__all__ = ["SimulatedServer", "serve"]


class SimulatedServer:
    """A simulated OpenAI-compatible server: chat completions, files and batches, `GET /v1/models`, `GET /stats`.

    Answers are independent draws above temperature 0, from one request or several; `seed` and `stop` in a request
    have no effect. Whatever model a request names answers. A fault takes the place of the answer, before key, limit
    and prompt are looked at; those with status 200, 500 or 502 and resets come after the latency, the others at once.
    The attributes `keys` (a set: take one out to revoke it), `faults` (a `Faults`) and `latency` may be changed while
    it runs, and of its `batches` (see `batch_jobs.BatchJobs`) `faults`, `seconds`, `enqueued_tokens`, and `progress`:
    the share of its lines that every batch under way has done, where not the time says so.

    Args:
        task: What it answers for, a `Checkable` task.
        model: How it errs: a `Profile`, or what follows "sim:" in a string (see `profiles.read_spec`).
        seed: Of answers (where `model` gives none), latencies and faults.
        keys: The API keys that are let in; None lets in all, with and without a key.
        latency: Median seconds from request to answer, log-normal.
        spread: Standard deviation of the logarithm of the latency.
        rate_limit: Requests a second; more are refused with 429 and Retry-After. None is no limit.
        faults: Which requests fail and how: `Faults`, or a string for `Faults.parse`.
        refuses: Parameters that are refused with 400, as some models do: of `chat_api.PARAMETERS`.
        ignores: Parameters that are ignored, as some servers do. Without `n` there is one choice.
        cached_tokens: Prompt tokens that are reported as cached, from the second answer on; none in batches.
        batch_faults: Which batches go wrong and how: `BatchFaults`, or a string for `BatchFaults.parse`.
        batch_seconds: How long a batch takes.
        enqueued_tokens: Input tokens that batches may have enqueued at a time; None is no limit.

    Raises:
        TypeError: When the task is not `Checkable`.
        ValueError: For an unknown model, fault or parameter, a number out of its range, or a task whose parser does
            not read the answers.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> SimulatedServer(TowersOfHanoi(3), refuses={"temprature"})
        Traceback (most recent call last):
        ValueError: refuses: no parameter 'temprature': known are n, temperature, max_tokens, max_completion_tokens
    """

    def __init__(
        self,
        task: Task,
        model: Profile | str = "gpt-4.1-mini",
        *,
        seed: int = 0,
        keys: Collection[str] | None = None,
        latency: float = 0.0,
        spread: float = 0.5,
        rate_limit: float | None = None,
        faults: Faults | str = "",
        refuses: Collection[str] = (),
        ignores: Collection[str] = (),
        cached_tokens: int = 0,
        batch_faults: BatchFaults | str = "",
        batch_seconds: float = 0.0,
        enqueued_tokens: int | None = None,
    ) -> None:
        profile, own = read_spec(model) if isinstance(model, str) else (model, None)
        seed = seed if own is None else own
        for name, value, high in (
            ("latency", latency, 3600),
            ("spread", spread, 5),
            ("cached_tokens", cached_tokens, profile.input_tokens),
            ("batch_seconds", batch_seconds, 86_400),
            ("enqueued_tokens", enqueued_tokens or 0, 1e12),
        ):
            if not 0 <= value <= high:
                raise ValueError(f"{name} is a number from 0 to {high}, not {value}")
        if rate_limit is not None and not _SLOWEST <= rate_limit <= 1 / _SLOWEST:
            raise ValueError(f"rate_limit is a number of requests a second above 0, or None, not {rate_limit}")
        for option, names in (("refuses", refuses), ("ignores", ignores)):
            for name in sorted(set(names) - set(PARAMETERS)):
                raise ValueError(f"{option}: no parameter {excerpt(name)}: known are {', '.join(PARAMETERS)}")
        if isinstance(keys, str):
            raise ValueError("keys is a set of strings, not one string: put it in braces")  # noqa: TRY004 - as above
        self.profile = profile
        self.keys = None if keys is None else set(keys)
        self.latency = latency
        self.spread = spread
        self.faults = Faults.parse(faults) if isinstance(faults, str) else faults
        self.refuses = frozenset(refuses)
        self.ignores = frozenset(ignores)
        self.cached_tokens = cached_tokens
        self._model = SimulatedChatModel(task=task, model=profile, seed=seed)
        self._bucket = None if rate_limit is None else TokenBucket(rate_limit)
        self._fault_draws, self._latency_draws = np.random.default_rng(abs(seed)).spawn(2)
        self._began: float | None = None
        self._lines = 0
        self._tally = Tally()
        self.batches = BatchJobs(
            answer=self._answer_line,
            count=self._tally.answer,
            faults=BatchFaults.parse(batch_faults) if isinstance(batch_faults, str) else batch_faults,
            seconds=batch_seconds,
            enqueued_tokens=enqueued_tokens,
            input_tokens=profile.input_tokens,
            seed=seed,
        )

    @property
    def stats(self) -> Stats:
        """What was counted so far, at one moment; any thread may ask."""
        return self._tally.stats()

    @contextmanager
    def running(self, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
        """Serve from a thread of its own until the block ends, and give the base URL, "http://127.0.0.1:PORT/v1".

        At the end, requests that wait for an answer have their connections closed. It may run again afterwards, and
        counts on.

        Args:
            port: Where to listen; 0 takes a free one.
            host: The address to listen on; anything but loopback lets other machines in.

        Raises:
            ValueError: For a port that is not a number from 0 to 65535.
            OSError: When it cannot listen there.
        """
        if not 0 <= port <= _LAST_PORT:
            raise ValueError(f"port is a number from 0 to {_LAST_PORT}, not {port}")
        ready: Future[tuple[str, Callable[[], object]]] = Future()
        thread = threading.Thread(
            target=lambda: asyncio.run(self._run(host, port, ready)), name="provider", daemon=True
        )
        thread.start()
        try:
            url, stop = ready.result()
        except OSError:
            thread.join()
            raise
        try:
            yield url
        finally:
            stop()
            thread.join()

    async def _run(self, host: str, port: int, ready: Future[tuple[str, Callable[[], object]]]) -> None:
        app = web.Application(middlewares=[errors_as_json], client_max_size=_BODY_LIMIT)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        add_routes(app, self.batches, self._check_key)
        app.router.add_get("/stats", self._stats)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN)
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        try:
            await runner.setup()
            await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
            address = f"[{host}]" if ":" in host else host
            url = f"http://{address}:{runner.addresses[0][1]}/v1"
            ready.set_result((url, lambda: loop.call_soon_threadsafe(stopped.set)))
            await stopped.wait()
        except (OSError, ValueError) as error:
            ready.set_exception(OSError(f"cannot listen on {host}, port {port}: {error}; give another port or host"))
        finally:
            await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        self._check_key(request)
        model = {"id": self.profile.name, "object": "model", "created": 0, "owned_by": "simulated"}
        return web.json_response({"object": "list", "data": [model]})

    async def _stats(self, _: web.Request) -> web.Response:
        return web.json_response(asdict(self.stats))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        number, kind, delay = self._arrive(time.monotonic())
        answer: dict[str, Any] = {}
        try:
            body = await request.clone(client_max_size=_CHAT_LIMIT).read()
            if kind in _WITH_ANSWER:
                self._admit(request)
                asked = read_request(body, refuses=self.refuses, ignores=self.ignores)
                kind = kind if asked.service_tier == "flex" or kind != "unavailable" else None
                answer = {} if kind == "unavailable" else self._complete(asked, number)
            if delay and kind not in _AT_ONCE:
                await asyncio.sleep(delay)
        except (asyncio.CancelledError, ConnectionError):
            self._tally.abandon()
            raise
        except Exception as error:
            self._tally.count("refused", str(getattr(error, "status", 500)))
            raise
        if kind is not None:
            self._tally.count("faults", kind)
            return await fail(request, kind, json.dumps(answer).encode(), self.faults.retry_after)
        self._tally.answer(answer)
        return web.json_response(answer)

    def _arrive(self, now: float) -> tuple[int, str | None, float]:
        """Number a request and draw its fault and its latency: both depend on seed and number alone."""
        number = self._tally.request()
        self._began = now if self._began is None else self._began
        draw, deviate = self._fault_draws.random(), self._latency_draws.standard_normal()
        kind = self.faults.meets(number=number, seconds=now - self._began, draw=draw)
        return number, kind, self.latency * exp(self.spread * deviate)

    def _admit(self, request: web.Request) -> None:
        self._check_key(request)
        if self._bucket is not None and (wait := self._bucket.take(time.monotonic())):
            raise too_many(wait)

    def _check_key(self, request: web.Request) -> None:
        if self.keys is not None and key_of(request) not in self.keys:
            raise wrong_key(request)

    def _answer_line(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Return the answer to one request of a batch, or its refusal."""
        try:
            asked = read_request(body, refuses=self.refuses, ignores=self.ignores)
            self._lines += 1
            return 200, self._complete(asked, self._lines, batch=True)
        except ApiError as error:
            return error.status, error.body

    def _complete(self, asked: ChatRequest, number: int, *, batch: bool = False) -> dict[str, Any]:
        options: dict[str, Any] = {"n": asked.n, "temperature": asked.temperature, "max_tokens": asked.max_tokens}
        try:
            # Past callbacks, tracers and caches, which this process may have switched on for its clients.
            result = self._model._generate(asked.messages, **options)  # noqa: SLF001
        except ValueError as error:
            raise ApiError(400, f"Invalid prompt: {error}", param="messages", code="invalid_prompt") from error
        cached = self.cached_tokens if self.stats.answered and not batch else 0
        name = f"chatcmpl-simulated-{'batch-' if batch else ''}{number}"
        return completion(asked, result, name=name, created=int(time.time()), cached=cached)


def serve(
    provider: SimulatedServer,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    stop: threading.Event | None = None,
    on_ready: Callable[[str], object] | None = None,
) -> None:
    """Serve until `stop` is set or Ctrl-C is pressed.

    Args:
        provider: What to serve.
        host: The address to listen on.
        port: Where to listen; 0 takes a free one.
        stop: Ends it when set, from a signal handler or another thread.
        on_ready: Called with the base URL once it listens.

    Raises:
        ValueError: For a port that is not a number from 0 to 65535.
        OSError: When it cannot listen there.

    Example:
        >>> from langgraph_maker.tasks import TowersOfHanoi
        >>> stop = threading.Event()
        >>> serve(SimulatedServer(TowersOfHanoi(3)), port=0, stop=stop, on_ready=lambda url: stop.set())
    """
    stop = threading.Event() if stop is None else stop
    with suppress(KeyboardInterrupt), provider.running(port, host) as url:
        if on_ready is not None:
            on_ready(url)
        while not stop.wait(_GLANCE):
            pass


_AT_ONCE: Final = {"400", "401", "403", "404", "429", "503", "timeout", "unavailable"}
_WITH_ANSWER: Final = {None, "truncated", "cut", "unavailable"}
_CHAT_LIMIT: Final = 10 * 2**20  # bytes
_BODY_LIMIT: Final = 256 * 2**20  # bytes, of a batch's file
_BACKLOG: Final = 4096  # connections that arrive at one moment
_SHUTDOWN: Final = 0.05  # seconds that answers in progress are given at the end
_GLANCE: Final = 0.5  # seconds; where a wait cannot be interrupted, Ctrl-C is seen this late
_LAST_PORT: Final = 65_535
_SLOWEST: Final = 1e-6
