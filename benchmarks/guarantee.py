"""What a run says of itself against the truth: `python -m benchmarks.guarantee [--runs 100] [SETTING …]`.

A task that is nothing but its steps, with models whose truth is known: how often each answer is right at each step is
written down here, and the package's simulated model has no part in it. For each setting, over many whole runs: the
share of runs without an error among the steps that they decided (true), what those said of it that took it for known
(so far), and beside that what all of them say under an assumption that they name (if no step is mostly wrong; if all
steps are equally hard), how often they said that nothing is known, how many took it for known and were more than a
tenth above the truth (too good), how many lower bounds they stated, so far or to the end, and how many of these were
above the truth, which is to be 5 % at most. "up to" is the mean of how many steps may be ones that answers are split
on, "hard" how many there are, and "above" how often these were more.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.store.memory import InMemoryStore

from langgraph_maker import Run, journal, solve
from langgraph_maker.core.errors import CalibrationError
from langgraph_maker.core.state import Request, Sampler, never_waits
from langgraph_maker.core.task import Segment, State, Task, Vote


class Steps(Task):
    """Say of each step that it is right; a wrong answer leaves the chain as it is, so that all steps can be counted."""

    name = "steps"
    steps: int

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def initial_state(self) -> State:
        """Return the number of the first step."""
        return 0

    def is_done(self, state: State) -> bool:
        """Return whether all steps are decided."""
        return bool(state == self.steps)

    def prompt(self, state: State) -> list[BaseMessage]:
        """Return the number of the step, as a text."""
        return [HumanMessage(str(state))]

    def parse(self, text: str) -> Vote:
        """Read an answer and the number of the next step."""
        answer, after = text.split()
        return {"action": answer, "next_state": int(after)}

    def advance(self, state: State, vote: Vote) -> State:  # noqa: ARG002 - whatever was voted
        """Return the number of the next step."""
        return state + 1

    def segments(self, lanes: int) -> Sequence[Segment]:
        """Cut the chain into about equal stretches."""
        cuts = [self.steps * lane // lanes for lane in range(lanes)]
        ends = [*cuts[1:], self.steps]
        return [{"step": cut, "end": end, "state": cut} for cut, end in zip(cuts, ends, strict=True) if cut < end]

    def oracle(self, state: State) -> Vote:
        """Return the right answer."""
        return {"action": "right", "next_state": state + 1}

    def read_state(self, messages: Sequence[BaseMessage]) -> State:
        """Read the number of the step from its prompt."""
        return int(messages[-1].text)


Law = Callable[[int, int], float]
"""From a step and the number of a sample to the probability that it is right."""


def drawn(law: Law, seed: int, repeats: Callable[[int], bool] = lambda _: False) -> Sampler:
    """Return a model whose samples are independent, but for steps of which one answer `repeats`."""
    random, kept = Random(seed), dict[int, str]()  # noqa: S311 - simulation

    @never_waits
    async def sample(requests: Sequence[Request]) -> list[AIMessage | Exception]:
        return [AIMessage(f"{answer(request)} {int(request.messages[-1].text) + 1}") for request in requests]

    def answer(request: Request) -> str:
        step = int(request.messages[-1].text)
        said = "right" if random.random() < law(step, request.number) else "wrong"
        return kept.setdefault(step, said) if repeats(step) else said

    return sample


def slow(law: Law, seed: int, late: float) -> Sampler:
    """Return a model of whose right answers the share `late` does not come in time at the first attempt."""
    random, tried = Random(seed), set[tuple[str, int]]()  # noqa: S311 - simulation

    async def sample(requests: Sequence[Request]) -> list[AIMessage | Exception]:
        await asyncio.sleep(0)
        return [answer(request) for request in requests]

    def answer(request: Request) -> AIMessage | Exception:
        step, again = int(request.messages[-1].text), (request.subtask_id, request.number) in tried
        tried.add((request.subtask_id, request.number))
        if random.random() >= law(step, request.number):
            return AIMessage(f"wrong {step + 1}")
        return TimeoutError("slow") if not again and random.random() < late else AIMessage(f"right {step + 1}")

    return sample


def changed(model: Sampler, answer: Callable[[int, str], str]) -> Sampler:
    """Return a model whose answers to a step are made of those of another."""

    @never_waits
    async def sample(requests: Sequence[Request]) -> list[AIMessage | Exception]:
        steps = [int(request.messages[-1].text) for request in requests]
        drawn_now = [one.text.split()[0] for one in await model(requests) if isinstance(one, AIMessage)]
        return [AIMessage(f"{answer(step, one)} {step + 1}") for step, one in zip(steps, drawn_now, strict=True)]

    return sample


def by_prompt(law: Law, seed: int, prompts: int) -> Sampler:
    """Return a model that is asked so many prompts again and again, and has one answer to each."""
    kept = dict[int, str]()
    return changed(drawn(law, seed), lambda step, answer: kept.setdefault(step % prompts, answer))


def many_wrong(law: Law, seed: int, answers: int) -> Sampler:
    """Return a model with so many wrong answers to each step, one as likely as another."""
    random = Random(seed)  # noqa: S311 - simulation
    return changed(
        drawn(law, seed), lambda _, answer: answer if answer == "right" else f"wrong{random.randrange(answers)}"
    )


class _BrokenOffError(Exception):
    """A process that dies."""


class Seen(NamedTuple):
    """A run, whether all its decided steps are right, and how many of them are `hard`.

    That is right or wrong in one sample of three, or oftener.
    """

    run: Run
    clean: bool
    hard: int


@dataclass(frozen=True)
class Setting:
    """One way in which runs can be: the model by seed and its hard steps, with what `solve` is given."""

    said: str
    steps: int
    model: Callable[[Law, int], Sampler]
    law: Callable[[Random], Law]
    options: dict[str, Any] = field(default_factory=dict)
    kills: int = 0

    def run(self, seed: int) -> Seen:
        """Return one run, and what is true of it."""
        law = self.law(Random(seed))  # noqa: S311 - simulation
        task, model = Steps(self.steps), self.model(law, seed)
        given: dict[str, Any] = {"k": 3, "lanes": min(64, self.steps), "store": InMemoryStore(), "run_id": "r"}
        given |= {"first_temperature": 0.1, **self.options}
        for _ in range(self.kills):
            self.killed(task, model, given, seed)
        run = solve(task, model, **given)
        entries = [*journal.entries(given["store"], "r")]
        return Seen(
            run,
            clean=all(entry["vote"]["action"] == "right" for entry in entries),
            hard=sum(1 / 3 <= law(entry["step"], 1) <= 2 / 3 for entry in entries),
        )

    @staticmethod
    def killed(task: Task, model: Sampler, given: dict[str, Any], seed: int) -> None:
        """Work on the run for a few rounds, and break off with samples in flight."""
        rounds = Random(seed).randint(1, 3)  # noqa: S311 - simulation

        def on_progress(_: Any) -> None:
            nonlocal rounds
            rounds -= 1
            if not rounds:
                raise _BrokenOffError

        with suppress(_BrokenOffError):
            solve(task, model, **given, on_progress=on_progress)


def at(p: float) -> Callable[[Random], Law]:
    """Return the law of steps that all have this p."""
    return lambda _: lambda _step, _number: p


def some(share: float, hard: float, easy: float, steps: int) -> Callable[[Random], Law]:
    """Return the law of steps of which a share, drawn at random, is hard; after so many they come again."""

    def law(random: Random) -> Law:
        of = [hard if random.random() < share else easy for _ in range(steps)]
        return lambda step, _: of[step % steps]

    return law


def beta(a: float, b: float, steps: int) -> Callable[[Random], Law]:
    """Return the law of steps whose p follow a beta distribution."""

    def law(random: Random) -> Law:
        of = [random.betavariate(a, b) for _ in range(steps)]
        return lambda step, _: of[step]

    return law


AUTO = {"k": "auto", "calibration_samples": 1000}
SETTINGS: dict[str, Setting] = {
    "equal": Setting("all steps at .95", 300, drawn, at(0.95), {"k": 4}),
    "equal9": Setting("all steps at .9", 1000, drawn, at(0.9)),
    "good": Setting("all steps at .998", 1000, drawn, at(0.998)),
    "half": Setting(
        "all at .9, 256 lanes, stopped at half", 1000, drawn, at(0.9), {"lanes": 256, "max_total_samples": 1700}
    ),
    "stopped": Setting(
        "all at .9, 1,000 lanes, stopped", 1000, drawn, at(0.9), {"lanes": 1000, "max_total_samples": 3000}
    ),
    "budget": Setting("all at .8, 5 samples a step", 300, drawn, at(0.8), {"max_samples_per_step": 5}),
    "mixed6": Setting("5 % at .6, else .99", 200, drawn, some(0.05, 0.6, 0.99, 200)),
    "mixed3": Setting("2 % at .3, else .99", 200, drawn, some(0.02, 0.3, 0.99, 200)),
    "mixed1": Setting("1 % at .1, else .99", 200, drawn, some(0.01, 0.1, 0.99, 200)),
    "mixed8": Setting("5 % at .8, else .999, k = 2", 1000, drawn, some(0.05, 0.8, 0.999, 1000), {"k": 2}),
    "beta": Setting("p from Beta(18, 1)", 300, drawn, beta(18, 1, 300), {"k": 4}),
    "auto": Setting("31 steps at .9995, k = auto", 31, drawn, at(0.9995), AUTO),
    "auto8": Setting("5 % at .8, else .999, k = auto", 60, drawn, some(0.05, 0.8, 0.999, 60), AUTO),
    "auto3": Setting("2 % at .3, else .9999, k = auto", 60, drawn, some(0.02, 0.3, 0.9999, 60), AUTO),
    "cache": Setting("all at .9, answers of a cache", 300, lambda law, seed: drawn(law, seed, lambda _: True), at(0.9)),
    "halfcache": Setting(
        "all at .9, every other step cached",
        300,
        lambda law, seed: drawn(law, seed, lambda step: step % 2 == 0),
        at(0.9),
    ),
    "autocache": Setting(
        "all at .97, cached, k = auto", 31, lambda law, seed: drawn(law, seed, lambda _: True), at(0.97), AUTO
    ),
    "first": Setting(
        "first vote .99, others .8",
        300,
        drawn,
        lambda _: lambda _step, number: 0.8 if number else 0.99,
        {"first_temperature": 0.0},
    ),
    "prompts": Setting("5 % of 40 prompts at .3, else .97", 400, drawn, some(0.05, 0.3, 0.97, 40)),
    "promptcache": Setting(
        "20 prompts at .9, a cache for each", 300, lambda law, seed: by_prompt(law, seed, 20), at(0.9)
    ),
    "answers": Setting(
        "all at .6, three wrong answers", 100, lambda law, seed: many_wrong(law, seed, 3), at(0.6), {"lanes": 16}
    ),
    "deep": Setting("5 % at .6, else .99, k = 5", 300, drawn, some(0.05, 0.6, 0.99, 300), {"k": 5}),
    "falling": Setting(
        "p from .995 down to .75", 300, drawn, lambda _: lambda step, _number: 0.995 - 0.245 * step / 300, {"lanes": 1}
    ),
    "half6": Setting(
        "3 % at .6, else .99, 256 lanes, stopped",
        1000,
        drawn,
        some(0.03, 0.6, 0.99, 1000),
        {"lanes": 256, "max_total_samples": 1500},
    ),
    "drift": Setting(
        "p .99, .8 from half way", 300, drawn, lambda _: lambda step, _number: 0.99 if step < 150 else 0.8, {"lanes": 1}
    ),
    "ladder": Setting(
        "10 % at .6, else .99, default ladder", 200, drawn, some(0.1, 0.6, 0.99, 200), {"ladder": "default"}
    ),
    "kills": Setting("all at .7, k = 2, eight kills", 60, drawn, at(0.7), {"k": 2}, kills=8),
    "slow": Setting(
        "all at .7, k = 2, right ones time out in .8", 60, lambda law, seed: slow(law, seed, 0.8), at(0.7), {"k": 2}
    ),
}


class Row(NamedTuple):
    """What runs of a setting said, and what is true."""

    true: float
    so_far: float | None
    mostly_right: float | None
    if_equal: float | None
    unknown: float
    too_good: int
    bounds: int
    too_high: int
    hard: float
    up_to: float | None
    above: float


def runs_of(setting: Setting, seeds: Iterable[int]) -> list[Seen]:
    """Return the runs of a setting; one that its calibration refuses to begin states nothing."""
    seen: list[Seen] = []
    for seed in seeds:
        with suppress(CalibrationError):
            seen.append(setting.run(seed))
    return seen


def row(setting: Setting, runs: int, first: int = 0) -> Row:
    """Return the table's line for a setting."""
    seen = runs_of(setting, range(first, first + runs))
    if not seen:
        raise SystemExit(f'{setting.said}: k="auto" refused all of {runs} runs, which states nothing')
    true = fmean(one.clean for one in seen)
    looks = [(one.run.outlook, one.hard) for one in seen if one.run.outlook is not None]
    said = [look.so_far for look, _ in looks if look.so_far is not None]
    mostly = [look.if_mostly_right.so_far for look, _ in looks if look.if_mostly_right is not None]
    equal = [look.if_equal.so_far for look, _ in looks if look.if_equal is not None]
    lows = [low for look, _ in looks for low in (look.so_far_low, look.to_the_end_low) if low is not None]
    up_to = [(look.hard_high, hard) for look, hard in looks if look.hard_high is not None]
    return Row(
        true=true,
        so_far=fmean(said) if said else None,
        mostly_right=fmean(mostly) if mostly else None,
        if_equal=fmean(equal) if equal else None,
        unknown=1 - len(said) / len(seen),
        too_good=sum(one > true + 0.1 for one in said),
        bounds=len(lows),
        too_high=sum(low > true for low in lows),
        hard=fmean(one.hard for one in seen),
        up_to=fmean(most for most, _ in up_to) if up_to else None,
        above=fmean(hard > most for most, hard in up_to) if up_to else 0.0,
    )


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("settings", nargs="*", metavar="SETTING", help=", ".join(SETTINGS))
    arguments.add_argument("--runs", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=0, help="of the first run")
    chosen = arguments.parse_args()
    logging.disable()  # that calls time out is what a setting is about
    print(f"{'':44}  true  so far  mostly right  equal  unknown  too good  bounds  too high  hard  up to  above")
    for name in chosen.settings or SETTINGS:
        setting = SETTINGS[name]
        found = row(setting, chosen.runs, chosen.seed)
        print(
            f"{setting.said:44}{found.true:6.2f}{_shown(found.so_far):>8}{_shown(found.mostly_right):>14}"
            f"{_shown(found.if_equal):>7}{100 * found.unknown:7.0f} %{found.too_good:10}{found.bounds:8}"
            f"{found.too_high:10}{found.hard:6.1f}{_shown(found.up_to, 1):>7}{100 * found.above:5.0f} %",
            flush=True,
        )


def _shown(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
