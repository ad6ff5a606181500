"""Run an experiment: measure what is not measured yet, within a budget, then say and draw what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Never

from langchain_core.messages import AIMessage
from langgraph.store.base import BaseStore

from langgraph_maker.core.extras import install
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.keywords import check_keywords
from langgraph_maker.core.messages import as_messages
from langgraph_maker.core.numbers import check_whole
from langgraph_maker.core.reasons import Stop
from langgraph_maker.core.red_flags import output_tokens
from langgraph_maker.core.task import HasOracle, Task, check_task
from langgraph_maker.experiments import figures
from langgraph_maker.experiments.base import Experiment, Line, Settings
from langgraph_maker.experiments.bench import Bench, UnfinishedError, task_name
from langgraph_maker.experiments.calibration import ErrorRates
from langgraph_maker.experiments.convergence import Convergence
from langgraph_maker.experiments.decorrelation import Decorrelation
from langgraph_maker.experiments.horizon import Horizon
from langgraph_maker.experiments.lines import Lines
from langgraph_maker.experiments.model_size import ModelSize
from langgraph_maker.experiments.pilot import Pilot
from langgraph_maker.experiments.red_flags import RedFlags
from langgraph_maker.experiments.scaling import Scaling
from langgraph_maker.journal.lock import hold
from langgraph_maker.models.prices import Price, dated
from langgraph_maker.models.resolve import Model, is_simulated, model_name
from langgraph_maker.prebuilt.maker import check_cost
from langgraph_maker.runs.calibration import known_price
from langgraph_maker.runs.calibration.measurement import check_aims
from langgraph_maker.simulation.profiles import read_spec
from langgraph_maker.tasks import TowersOfHanoi

__all__ = ["EXPERIMENTS", "Outcome", "experiment"]

EXPERIMENTS: Final[dict[str, type[Experiment]]] = {
    one.name: one for one in (Scaling, ErrorRates, Convergence, RedFlags, Pilot, ModelSize, Decorrelation, Horizon)
}
"""The experiments there are, by name."""


@dataclass(frozen=True)
class Outcome:
    """What an experiment found.

    Attributes:
        name: The experiment.
        settings: With which it was run.
        lines: The points, as in the data; `planned` is how many there are to be.
        planned: See above.
        sentences: What they say.
        data: The file of JSON Lines.
        figures: The pictures.
        simulated: Whether any of the models is simulated, so that the figures say nothing about real ones.
        drawn: Samples of the points that are done, all sessions together.
        spent: Dollars for them, as far as prices are known; for simulated models, had they been real.
        stopped: Why it ended before all points were done, "" if they are.
        problem: Why there are no figures, "" if there are.
        prices: Which list dollars are by, and how old it is; "" where all prices were given, or are not known.
    """

    name: str
    settings: Settings
    lines: list[Line]
    planned: int
    sentences: list[str]
    data: Path
    figures: list[Path]
    simulated: bool
    drawn: int
    spent: float
    stopped: str
    problem: str
    prices: str = ""


def experiment(
    name: str,
    *,
    out: str | Path = "experiments",
    models: Iterable[Model] | Mapping[str, Model] | None = None,
    disks: Sequence[int] | None = None,
    task: Task | None = None,
    samples: int | None = None,
    seed: int = 0,
    prices: Mapping[str, Price] | None = None,
    max_total_samples: int | None = None,
    max_cost: float | None = None,
    max_concurrency: int | None = None,
    stop: Stop | None = None,
    on_progress: Callable[[str, int], None] | None = None,
    **_unknown: Never,
) -> Outcome:
    """Repeat an experiment of the paper: NAME.jsonl, its figures, and NAME.sqlite with every answer, all in `out`.

    Called again with the same settings it resumes where it stopped and buys nothing twice. Points are measured one
    after another, their calls side by side. Without the extra `plots` the data are written, and no figures.

    Args:
        name: One of `EXPERIMENTS`.
        out: The folder, which is made if need be.
        models: What to ask, see `models.Model`; None for the experiment's own simulated ones.
        disks: Of the Towers of Hanoi; several for `calibration` alone.
        task: Another task with an oracle, for `decorrelation` and `model-size`; None for the Towers of Hanoi.
        samples: As many as the experiment says under `sampled`.
        seed: Of the choice of steps, and of simulated models.
        prices: By model name, where they are not known, or yours differ.
        max_total_samples: Samples after which it stops, those of earlier sessions included.
        max_cost: Dollars, likewise. Of the experiment's own models, one without a published price for input counts by
            its output alone.
        max_concurrency: Model calls at a time; None for 256 to a chat model.
        stop: Asked before each batch; True, or why, ends it.
        on_progress: Called with which model was asked, and how many samples were drawn so far.

    Raises:
        ValueError: For what is no experiment or no setting of it, a folder that was started with other settings, and a
            budget that does not pay for the first point, before anything is bought.
        SamplingError: When calls continue failing. What was drawn is kept.
        RunBusyError: When a live process is at work on this folder's experiment.

    Example:
        >>> import tempfile
        >>> found = experiment("convergence", out=tempfile.mkdtemp(), disks=[8])
        >>> found.lines[0]["steps"], found.stopped
        (255, '')
    """
    check_keywords(experiment, _unknown)
    kind = EXPERIMENTS.get(name)
    if kind is None:
        raise ValueError(f"no experiment is called {name!r}: there are {', '.join(EXPERIMENTS)}")
    named = _named(kind.models if models is None else models)
    _check_task(kind, task, disks)
    asked = kind(_settings(kind, named, disks, samples, seed=seed, prices=dict(prices or {}), task=task), task)
    folder, points = Path(out), asked.points()
    data = Lines(folder / f"{name}.jsonl", _head(asked))
    done = [line for point in points if (line := _of(data.found, point)) is not None]
    drawn, spent = sum(line["drawn"] for line in done), sum(line["spent"] or 0.0 for line in done)
    missing = [point for point in points if _of(data.found, point) is None]
    priced = {model: asked.settings.prices.get(model) or known_price(named[model]) for model in named}
    if max_cost is not None and models is None:
        priced = {model: price or _price_of_output(model) for model, price in priced.items()}
    for model in named:
        check_cost(max_cost, priced[model], model)
    bench = Bench(
        name,
        named,
        priced,
        seed=seed,
        max_total_samples=max_total_samples,
        max_cost=max_cost,
        max_concurrency=max_concurrency,
        stop=stop,
        on_progress=on_progress,
    )
    bench.drawn, bench.spent = drawn, spent
    stopped = _too_little(asked, bench, missing)
    if stopped and not done:
        raise ValueError(f"{stopped}: give more, or fewer --samples or --disks; nothing is bought")
    if missing and not stopped:
        with _kept(folder, name) as bench.store, hold(bench.store, f"experiment {name}"):
            data.begin()
            stopped = _measure(asked, bench, missing, data)
    lines = [line for point in points if (line := _of(data.found, point)) is not None]
    pictures = _drawn(asked, lines, folder) if lines and figures.can_draw() else []
    return Outcome(
        name=name,
        settings=asked.settings,
        lines=lines,
        planned=len(points),
        sentences=asked.sentences(lines) if lines else [],
        data=data.path,
        figures=pictures,
        simulated=any(map(is_simulated, named)),
        drawn=sum(line["drawn"] for line in lines),
        spent=sum(line["spent"] or 0.0 for line in lines),
        stopped=stopped,
        problem="" if figures.can_draw() else figures.MISSING,
        prices=_by_list(named, asked.settings.prices),
    )


def _by_list(named: Mapping[str, Model], given: Mapping[str, Price]) -> str:
    """Return by which list dollars are, for models that no price was given for."""
    unpriced = {name: model for name, model in named.items() if name not in given and not is_simulated(name)}
    return dated() if any(known_price(model) is not None for model in unpriced.values()) else ""


@contextmanager
def _kept(folder: Path, name: str) -> Iterator[BaseStore]:
    """Return the store of all answers."""
    try:
        import langgraph.store.sqlite  # noqa: F401, PLC0415 - an extra

        from langgraph_maker.journal.databases import open_store  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ValueError(f"experiments keep answers in SQLite, an extra: {install('cli')}") from error
    folder.mkdir(parents=True, exist_ok=True)
    with open_store(str(folder / f"{name}.sqlite")) as store:
        yield store


def _measure(asked: Experiment, bench: Bench, missing: list[Line], data: Lines) -> str:
    """Measure point after point; why it ended, "" at the end of all."""
    for place, point in enumerate(missing):
        if why := _too_little(asked, bench, missing[place:]):
            return why
        drawn, spent = bench.drawn, bench.spent
        try:
            found = asked.measure(bench, point)
        except UnfinishedError as why:
            return str(why)
        paid = None if bench.prices[point["model"]] is None else round(bench.spent - spent, 9)
        bill = {"drawn": bench.drawn - drawn, "spent": paid}
        data.add({**point, "simulated": is_simulated(point["model"]), **found, **bill})
    return ""


def _named(models: Iterable[Model] | Mapping[str, Model]) -> dict[str, Model]:
    pairs = list(models.items() if isinstance(models, Mapping) else ((model_name(one), one) for one in models))
    named = dict(pairs)
    if not named:
        raise ValueError("there is no model to ask: name at least one")
    if len(named) < len(pairs):
        raise ValueError(f"two of the models have the same name: {', '.join(name for name, _ in pairs)}")
    for name in named:
        if name.startswith("sim:"):
            read_spec(name)
    return named


def _settings(
    kind: type[Experiment],
    named: Mapping[str, Model],
    disks: Sequence[int] | None,
    samples: int | None,
    *,
    seed: int,
    prices: dict[str, Price],
    task: Task | None,
) -> Settings:
    if strange := prices.keys() - named.keys():
        raise ValueError(f"there is a price for {', '.join(sorted(strange))}, which is none of {', '.join(named)}")
    if samples is not None and kind.samples is None:
        raise ValueError(f"{kind.name} has no number of samples: it runs a task to its end, see --disks")
    given = () if task is not None else tuple(kind.disks if disks is None else disks)
    if given and not kind.disks:
        raise ValueError(f"{kind.name} has no disks: leave --disks out")
    if task is None and len(given) != 1 and kind.disks and (len(kind.disks) == 1 or not given):
        raise ValueError(f"{kind.name} takes one number of disks, not {len(given)}")
    if len(set(given)) < len(given):
        raise ValueError(f"a number of disks is given twice: {', '.join(map(str, given))}")
    for one in given:
        TowersOfHanoi(one)
    size = kind.samples if samples is None else samples
    if size is not None:
        check_aims(size, 0.5)
    check_whole("seed", seed, 0)
    chosen = None if task is None else task_name(task)
    return Settings(models=tuple(named), disks=given, samples=size, seed=seed, prices=prices, task=chosen)


def _check_task(kind: type[Experiment], task: Task | None, disks: Sequence[int] | None) -> None:
    if task is None:
        return
    check_task(task)
    if not kind.any_task:
        others = ", ".join(name for name, one in EXPERIMENTS.items() if one.any_task)
        raise ValueError(f"{kind.name} runs on one task: leave task out; {others} run on any")
    if disks is not None:
        raise ValueError("disks are those of the Towers of Hanoi: give a task or disks, not both")
    if not isinstance(task, HasOracle):
        raise TypeError(f"{excerpt(task)} has no oracle and read_state, by which its samples could be judged")


def _head(asked: Experiment) -> Line:
    simulated = [name for name in asked.settings.models if is_simulated(name)]
    settings = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(asked.settings).items()
    }
    return {"experiment": asked.name, "settings": settings, "simulated": simulated, "note": _note(asked)}


def _note(asked: Experiment) -> str:
    simulated = [name for name in asked.settings.models if is_simulated(name)]
    if not simulated:
        return ""
    which = "Simulated models" if len(simulated) == len(asked.settings.models) else ", ".join(simulated) + " simulated"
    return f"{which}: what is shown says nothing about real ones."


def _of(lines: list[Line], point: Line) -> Line | None:
    return next((line for line in lines if all(line.get(key) == value for key, value in point.items())), None)


def _too_little(asked: Experiment, bench: Bench, missing: list[Line]) -> str:
    """Return why the budget does not pay for the next point, "" if it may."""
    if not missing:
        return ""
    max_total_samples, max_cost, drawn, spent = bench.max_total_samples, bench.max_cost, bench.drawn, bench.spent
    least, what = asked.least(missing[0]), ", ".join(f"{key} {value}" for key, value in missing[0].items())
    if max_total_samples is not None and drawn + least > max_total_samples:
        left = f"{max(0, max_total_samples - drawn):,} of {max_total_samples:,}" if drawn else f"{max_total_samples:,}"
        return f"the next point ({what}) takes at least {least:,} samples, and the budget is {left}"
    if max_cost is None or not least:
        return ""
    dollars = least * _least_cost(asked, bench.prices[missing[0]["model"]], missing[0]["model"])
    if spent + dollars > max_cost:
        left = f"${max(0.0, max_cost - spent):.4g} of ${max_cost:g}" if spent else f"${max_cost:g}"
        return (
            f"the next point ({what}) takes at least {least:,} samples, about ${dollars:.4g}, and the budget is {left}"
        )
    return ""


def _price_of_output(name: str) -> Price | None:
    price = read_spec(name)[0].output_price
    return None if price is None else Price(0.0, price)


def _least_cost(asked: Experiment, price: Price | None, name: str) -> float:
    """Return dollars of a sample: of a simulated model on average, of a real one for its prompt alone."""
    if price is None:
        return 0.0
    if name.startswith("sim:"):
        profile, _ = read_spec(name)
        read, written = profile.input_tokens, profile.output_tokens
    else:
        prompt = as_messages(asked.task.prompt(asked.task.initial_state()))
        read, written = sum(output_tokens(AIMessage(message.text)) for message in prompt), 0.0
    usage: dict[str, Any] = {"input_tokens": read, "cached_input_tokens": 0, "output_tokens": written}
    return price.cost(usage)


def _drawn(asked: Experiment, lines: list[Line], folder: Path) -> list[Path]:
    pictures = figures.Pictures(folder, _note(asked))
    asked.draw(lines, pictures)
    return pictures.written
