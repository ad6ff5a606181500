"""What a call and a vote cost over HTTP: `python -m benchmarks.http [--disks 10] [--repeats 3] [--at 64] [--n 1]`.

First the ways to make one call, which take turns in this process, `--at` of them in flight: client CPU of each, and its
share of what our sampler took before it had the short way (`LANGGRAPH_MAKER_SHORT_CALLS=0`). Then whole runs:

Towers of Hanoi at k = 3 in 64 lanes, through `ChatOpenAI` over loopback, against `langgraph-maker serve` in a process
of its own: with the provider's n (one call for the later votes of a step) and with a server that ignores it. Client
CPU is this process's, all of it: HTTP, LangChain, the engine, the journal in memory. The model is simulated.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import patch

import aiohttp
import openai
import orjson
from langchain_openai import ChatOpenAI

from langgraph_maker import Run, solve
from langgraph_maker.core.state import Request
from langgraph_maker.models.chat_sampler import as_sampler
from langgraph_maker.tasks import TowersOfHanoi

Call = Callable[[int], Awaitable[Any]]
OURS, BEFORE = "our sampler", "our sampler, the ordinary way"


@contextmanager
def served(disks: int, *options: str) -> Iterator[str]:
    """The base URL of a server in a process of its own."""
    command = [sys.executable, "-m", "langgraph_maker", "serve", "--disks", str(disks), "--port", "0", *options]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
    ) as server:
        try:
            assert server.stderr is not None  # noqa: S101
            yield next(word.rstrip(";") for word in server.stderr.readline().split() if word.startswith("http://"))
        finally:
            server.terminate()


def measured(disks: int, *options: str) -> tuple[float, float, Run]:
    """Client CPU and time of one run, in seconds."""
    with served(disks, *options) as url:
        model = ChatOpenAI(base_url=url, api_key="any", model="sim")  # type: ignore[arg-type]
        began, cpu = time.perf_counter(), time.process_time()
        run = solve(TowersOfHanoi(disks), model, lanes=64)
        return time.process_time() - cpu, time.perf_counter() - began, run


@asynccontextmanager
async def ways(url: str, n: int) -> AsyncIterator[dict[str, Call]]:
    """Each way to have `n` answers to one prompt, as a call."""
    model: Any = ChatOpenAI(base_url=url, api_key="any", model="sim")  # type: ignore[arg-type]
    task = TowersOfHanoi(10)
    messages = task.prompt(task.initial_state())
    payload = model._get_request_payload(messages) | ({"n": n} if n > 1 else {})  # noqa: SLF001 - the ways below it
    async with AsyncExitStack() as opened:

        async def sampler(switch: str) -> Call:
            with patch.dict(os.environ, {"LANGGRAPH_MAKER_SHORT_CALLS": switch}):
                draw: Any = as_sampler(model.model_copy())
                opened.push_async_callback(draw.aclose)
                await draw([Request(messages, 0.1, "first", number) for number in range(n)])

            async def ours(at: int) -> None:
                drawn = await draw([Request(messages, 0.1, str(at), number) for number in range(n)])
                assert not any(isinstance(one, Exception) for one in drawn)  # noqa: S101

            return ours

        def raw(client: Any) -> Call:
            async def posted(_: int) -> Any:
                response = await client.chat.completions.with_raw_response.create(**payload)
                return orjson.loads(response.content)

            return posted

        plain = await opened.enter_async_context(openai.AsyncOpenAI(base_url=url, api_key="any"))
        over = openai.AsyncOpenAI(base_url=url, api_key="any", http_client=openai.DefaultAioHttpClient())
        over = await opened.enter_async_context(over)
        session = await opened.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2000)))

        async def post(_: int) -> Any:
            async with session.post(f"{url}/chat/completions", data=orjson.dumps(payload), headers=_HEADERS) as answer:
                return orjson.loads(await answer.read())

        async def own(_: int) -> Any:
            return await model._agenerate(messages, **({"n": n} if n > 1 else {}))  # noqa: SLF001

        yield {
            BEFORE: await sampler("0"),
            "ChatOpenAI": lambda _: model.agenerate([messages], **({"n": n} if n > 1 else {})),
            "the model's own _agenerate": own,
            "openai's client, raw, orjson": raw(plain),
            "the same over aiohttp": raw(over),
            OURS: await sampler("1"),
            "aiohttp POST, orjson": post,
        }


async def compared(url: str, at: int, n: int, calls: int, turns: int) -> dict[str, float]:
    """Client CPU of a call, in microseconds, by way: medians of the turns."""
    async with ways(url, n) as each:
        room = asyncio.Semaphore(at)

        async def one(call: Call, number: int) -> None:
            async with room:
                await call(number)

        took: dict[str, list[float]] = {name: [] for name in each}
        for turn in range(turns + 1):  # the first is not counted
            for name, call in each.items():
                began = time.process_time()
                await asyncio.gather(*(one(call, number) for number in range(calls)))
                if turn:
                    took[name].append((time.process_time() - began) / calls * 1e6)
    return {name: statistics.median(each) for name, each in took.items()}


_HEADERS = {"Authorization": "Bearer any", "Content-Type": "application/json"}


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--disks", type=int, default=10)
    arguments.add_argument("--repeats", type=int, default=3, help="medians are printed")
    arguments.add_argument("--at", type=int, default=64, help="calls in flight")
    arguments.add_argument("--n", type=int, default=1, help="answers to a call")
    arguments.add_argument("--calls", type=int, default=640, help="of each way a turn")
    given = arguments.parse_args()
    print(
        f"{platform.machine()}, Python {platform.python_version()}; {given.disks} disks, simulated gpt-4.1-mini, k = 3"
    )
    with served(given.disks) as url:
        cpu_of = asyncio.run(compared(url, given.at, given.n, max(given.calls, 2 * given.at), given.repeats))
    print(f"a call, {given.at} in flight, n = {given.n}:")
    for way, microseconds in cpu_of.items():
        print(f"  {way:32}{microseconds:7.0f} µs {microseconds / cpu_of[BEFORE]:5.2f}")
    measured(4)  # imports and first connections
    for name, options in (("with n", ()), ("without n", ("--ignores", "n"))):
        rows = [measured(given.disks, *options) for _ in range(given.repeats)]
        cpu = statistics.median(cpu / run.samples for cpu, _, run in rows)
        took = statistics.median(seconds for _, seconds, _ in rows)
        run = rows[0][2]
        print(
            f"{name:10} {cpu * 1e3:.2f} ms client CPU a vote, {took:.1f} s; {run.samples:,} samples,"
            f" {run.usage['input_tokens']:,} prompt tokens billed, {run.usage['output_tokens']:,} output tokens"
        )


if __name__ == "__main__":
    main()
