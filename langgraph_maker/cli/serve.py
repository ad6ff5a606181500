"""`langgraph-maker serve`: a simulated provider, to run and to test against."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import asdict
from typing import Annotated

import typer

from langgraph_maker.cli.console import say, show
from langgraph_maker.cli.loading import arguments, load_task
from langgraph_maker.cli.options import Disks, Seed, Settings
from langgraph_maker.cli.shell import ERROR, USAGE, Command, command_line, fail, to_stdout, told

__all__ = ["app", "serve"]

app = command_line()


@app.command(cls=Command)
def serve(  # noqa: PLR0917 - typer reads the options from the signature
    task: Annotated[str, typer.Option(help='"hanoi", or "package.module:factory" for a task of your own')] = "hanoi",
    disks: Disks = None,
    settings: Settings = None,
    model: Annotated[str, typer.Option(help='how it errs: "sim:NAME"')] = "sim:gpt-4.1-mini",
    host: Annotated[str, typer.Option(help="anything but loopback lets other machines in")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    seed: Seed = 0,
    keys: Annotated[
        list[str] | None, typer.Option("--key", help="an API key that is let in (repeatable); default: any")
    ] = None,
    latency: Annotated[float, typer.Option(help="median seconds from request to answer, log-normal")] = 0.0,
    spread: Annotated[float, typer.Option(help="standard deviation of the logarithm of the latency")] = 0.5,
    rate_limit: Annotated[float | None, typer.Option(help="requests a second; more get 429")] = None,
    faults: Annotated[
        list[str] | None,
        typer.Option("--fault", help='such as "429=0.1", "500@100-150", "outage@5+20" (repeatable)'),
    ] = None,
    refuses: Annotated[
        list[str] | None, typer.Option(help="a parameter refused with 400, such as temperature (repeatable)")
    ] = None,
    ignores: Annotated[list[str] | None, typer.Option(help="a parameter ignored, such as n (repeatable)")] = None,
    cached_tokens: Annotated[int, typer.Option(help="prompt tokens reported as cached")] = 0,
) -> None:
    """Serve a simulated model as an OpenAI-compatible API, with latency, rate limits and faults as asked.

    At its end it prints what it counted, as one JSON object.
    """
    with told(USAGE):
        try:
            from langgraph_maker.simulation.server import Faults, SimulatedServer  # noqa: PLC0415 - an extra
            from langgraph_maker.simulation.server import serve as serving  # noqa: PLC0415
        except ImportError as missing:
            raise ValueError(str(missing)) from missing
        if not model.startswith("sim:"):
            raise ValueError(f"only simulated models are served: --model is sim:NAME, not {model!r}")
        chosen = load_task(task, arguments(disks, settings or []))
        provider = SimulatedServer(
            chosen,
            model,
            seed=seed,
            keys=set(keys) if keys else None,
            latency=latency,
            spread=spread,
            rate_limit=rate_limit,
            faults=Faults.parse(*(faults or ())),
            refuses=refuses or (),
            ignores=ignores or (),
            cached_tokens=cached_tokens,
        )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def ready(url: str) -> None:
        say(f"a simulated model answers for {chosen!r} at {url}; Ctrl-C ends it")

    with told(ERROR):
        try:
            serving(provider, host, port, stop=stop, on_ready=ready)
        except OSError as error:
            fail(ERROR, f"--host {host} --port {port}: {error.strerror or error}")
        with to_stdout():
            show(json.dumps(asdict(provider.stats)))
