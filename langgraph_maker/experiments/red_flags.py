"""What red flags are worth (MAKER, section 4.4): long answers err more, and discarding them makes errors independent.

Every answer is read by both parsers, so the same samples say what each length limit gives with each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from langgraph_maker.core.red_flags import TokenLimit, Truncated
from langgraph_maker.experiments.base import Experiment, Line
from langgraph_maker.experiments.bench import Bench, draw_all
from langgraph_maker.experiments.figures import COLOURS, Pictures
from langgraph_maker.runs.calibration.result import SIGNIFICANT
from langgraph_maker.runs.calibration.step_selection import choose
from langgraph_maker.runs.calibration.trials import Draw, TrialAnswer, Trials
from langgraph_maker.theory.intervals import collision_test, exact_interval, expected_collisions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RedFlags", "recommended"]

LIMITS: Final = (600, 650, 700, 750, 800, 900, 1000, 1250, 1500, 2048)
_EDGES: Final = (0, 400, 450, 500, 550, 600, 650, 700, 750, 800, 900, 1000, 1250, 1500, 2148)
_PARSERS: Final = ("flagging", "repairing")
_VOTES: Final = 2
_MOST: Final = 8  # samples of a step that is flagged again and again


class _Read(NamedTuple):
    """One answer: whether it is right by either parser (None: unreadable), and its length."""

    flagging: bool | None
    repairing: bool | None
    tokens: int

    def vote(self, parser: str, limit: int) -> bool | None:
        """Return what it is worth under a rule, None if it is flagged."""
        right = self.flagging if parser == "flagging" else self.repairing
        return right if self.tokens <= limit else None


class RedFlags(Experiment):
    """One point a model: two votes on each of `samples` random steps, under each rule."""

    name: ClassVar[str] = "red-flags"
    about: ClassVar[str] = "errors against length; collisions, samples and right answers lost against the length limit"
    models: ClassVar[tuple[str, ...]] = ("sim:gpt-4.1-mini,hard=0.02",)
    disks: ClassVar[tuple[int, ...]] = (20,)
    samples: ClassVar[int | None] = 6000
    sampled: ClassVar[str] = "steps sampled twice, and again where answers are flagged"

    def least(self, point: Line) -> int:  # noqa: ARG002 - the same for all
        """Return two samples a step."""
        return _VOTES * min(self.settings.size, self.task.steps or 1)

    def measure(self, bench: Bench, point: Line) -> Line:
        """Draw, and look at the same answers under each rule."""
        task: Any = self.task
        _, states, _ = choose(task, self.settings.size, seed=self.settings.seed)
        truths = [task.vote_key(task.oracle(state)) for state in states]

        async def course(trials: Trials) -> list[list[_Read]]:
            drawn: list[list[_Read]] = [[] for _ in states]
            short = list(range(len(states)))
            while short:
                wanted = [
                    (at, len(drawn[at]) + one)
                    for at in short
                    for one in range(_VOTES - _valid(drawn[at]))
                    if len(drawn[at]) + one < _MOST
                ]
                answers = await draw_all(trials, [(Draw("vote", at, number), states[at]) for at, number in wanted])
                for (at, _), answer in zip(wanted, answers, strict=True):
                    drawn[at].append(_read(answer, truths[at]))
                short = [at for at in short if _valid(drawn[at]) < _VOTES and len(drawn[at]) < _MOST]
            return drawn

        drawn = bench.sample(task, point["model"], course, red_flags=TokenLimit(LIMITS[-1]) | Truncated())
        rules = [_under(drawn, parser, limit) for parser in _PARSERS for limit in LIMITS]
        return {"steps": len(states), "rules": rules, "lengths": _by_length(drawn)}

    def sentences(self, lines: list[Line]) -> list[str]:
        """Return what the flags do, and the recommended limit."""
        said = []
        for line in lines:
            loose, best = line["rules"][-1], recommended(line)
            short = [one for one in line["lengths"] if one["to"] <= 700]  # noqa: PLR2004 - the paper's bend
            long = [one for one in line["lengths"] if one["from"] >= 700]  # noqa: PLR2004
            said.append(
                f"{line['model']}: {_rate(long)} of the answers beyond 700 tokens are wrong, {_rate(short)} of the"
                " others (repairing parser)"
            )
            said.append(
                f"repairing parser, 2,048 tokens: {loose['collisions']} collisions in {loose['pairs']:,} steps,"
                f" where independent errors make {loose['expected']:.2f}"
            )
            if best is None:
                said.append("no limit is recommended: no step got two valid answers under any with the flagging parser")
                continue
            why = "at which errors do not cluster" if best["p_value"] >= SIGNIFICANT else "with the fewest collisions"
            said.append(
                f"recommended: flagging parser, {best['limit']:,} tokens, the limit {why} that loses the fewest right"
                f" answers: {best['collisions']} collisions in {best['pairs']:,} steps (independent:"
                f" {best['expected']:.2f}),"
                f" {best['right_lost']:.2%} of all samples right and lost, {best['samples_per_step']:.3f} samples a"
                " step for two votes"
            )
        return said

    def draw(self, lines: list[Line], pictures: Pictures) -> None:
        """Draw a figure a model."""
        for place, line in enumerate(lines):
            name = self.name if not place else f"{self.name}-{place + 1}"
            with pictures.new(
                name, f"Red flags: {line['model']}, {line['steps']:,} steps of {self.settings.disks[0]} disks", 4
            ) as axes:
                _lengths(axes[0], line["lengths"])
                _by_limit(axes[1], line, "collisions", "Collisions: both first votes wrong", "steps")
                _by_limit(axes[2], line, "samples_per_step", "Samples for two votes", "samples a step")
                _trade(axes[3], line)


def recommended(line: Line) -> Line | None:
    """Return the rule of the flagging parser under which errors do not cluster and the fewest right answers are lost.

    Where they cluster under all of them, that with the fewest collisions; none where no step got two valid answers.

    Example:
        >>> recommended({"rules": [{"parser": "flagging", "limit": 600, "pairs": 0}]})
    """
    rules: list[Line] = [rule for rule in line["rules"] if rule["parser"] == "flagging" and rule["pairs"]]
    if sound := [rule for rule in rules if rule["p_value"] >= SIGNIFICANT]:
        return min(sound, key=lambda rule: (rule["right_lost"], rule["limit"]))
    return min(rules, key=lambda rule: (rule["collisions"], rule["limit"]), default=None)


def _read(answer: TrialAnswer, truth: str) -> _Read:
    repaired = answer["key"] if answer["flag"] is None and answer["beneath"] is None else answer["beneath"]
    return _Read(
        None if answer["flag"] is not None else answer["key"] == truth,
        None if repaired is None else repaired == truth,
        answer["tokens"],
    )


def _valid(reads: Sequence[_Read]) -> int:
    """Return votes under the strictest of the rules."""
    return sum(one.vote("flagging", LIMITS[0]) is not None for one in reads)


def _under(drawn: list[list[_Read]], parser: str, limit: int) -> Line:
    first = [one for reads in drawn for one in reads[:_VOTES]]  # those after them are drawn where flags were
    votes = [vote for one in first if (vote := one.vote(parser, limit)) is not None]
    lost = sum(bool(one.repairing) for one in first if one.vote(parser, limit) is None)
    used, pairs = 0, []
    for reads in drawn:
        cast: list[bool] = []
        for one in reads:
            used += 1
            if (vote := one.vote(parser, limit)) is not None:
                cast.append(vote)
                if len(cast) == _VOTES:
                    pairs.append(cast)
                    break
    wrong, both = sum(pair.count(False) for pair in pairs), sum(not any(pair) for pair in pairs)
    low, high = exact_interval(both, len(pairs))
    return {
        "parser": parser,
        "limit": limit,
        "v": len(votes) / len(first),
        "error": votes.count(False) / len(votes) if votes else None,
        "right_lost": lost / len(first),
        "pairs": len(pairs),
        "collisions": both,
        "low": low,
        "high": high,
        "expected": expected_collisions(len(pairs), wrong),
        "p_value": collision_test(len(pairs), wrong, both) if pairs else 1.0,
        "samples_per_step": used / len(drawn),
    }


def _by_length(drawn: list[list[_Read]]) -> list[Line]:
    first = [one for reads in drawn for one in reads[:_VOTES] if one.repairing is not None]
    bins = []
    for begin, end in pairwise(_EDGES):
        inside = [one for one in first if begin < one.tokens <= end]
        wrong = sum(not one.repairing for one in inside)
        if inside:
            low, high = exact_interval(wrong, len(inside))
            bins.append({"from": begin, "to": end, "answers": len(inside), "wrong": wrong, "low": low, "high": high})
    return bins


def _rate(bins: list[Line]) -> str:
    answers = sum(one["answers"] for one in bins)
    return f"{sum(one['wrong'] for one in bins) / answers:.2%}" if answers else "none"


def _lengths(axes: Axes, bins: list[Line]) -> None:
    some = [one for one in bins if one["wrong"]]
    none = [one for one in bins if not one["wrong"]]

    def middle(one: Line) -> float:
        return float(max(one["from"], 300) + one["to"]) / 2

    rates = [one["wrong"] / one["answers"] for one in some]
    bars = [
        [rate - one["low"] for rate, one in zip(rates, some, strict=True)],
        [one["high"] - rate for rate, one in zip(rates, some, strict=True)],
    ]
    if some:
        axes.errorbar(
            [middle(one) for one in some], rates, yerr=bars, fmt="o", color=COLOURS[0], label="wrong, 95 % interval"
        )
    if none:
        axes.plot(
            [middle(one) for one in none],
            [one["high"] for one in none],
            "v",
            mfc="none",
            color=COLOURS[0],
            label="none wrong, upper bound",
        )
    axes.axvline(750, color=COLOURS[3], linewidth=1, linestyle=":", label="the paper's limit, 750")
    axes.set(yscale="log", ylim=(None, 1.5), title="Error rate against length", xlabel="output tokens")
    axes.set_ylabel("wrong, repairing parser (share)")
    axes.legend()


def _by_limit(axes: Axes, line: Line, what: str, title: str, unit: str) -> None:
    for parser, colour, shape in zip(_PARSERS, (COLOURS[0], COLOURS[3]), "os", strict=True):
        rules = [rule for rule in line["rules"] if rule["parser"] == parser]
        limits, values = [rule["limit"] for rule in rules], [rule[what] for rule in rules]
        axes.plot(limits, values, f"{shape}-", color=colour, label=f"{parser} parser")
        if what == "collisions":
            bars = [
                [rule[what] - rule["low"] * rule["pairs"] for rule in rules],
                [rule["high"] * rule["pairs"] - rule[what] for rule in rules],
            ]
            shifted = [limit + (6 if parser == "repairing" else -6) for limit in limits]
            axes.errorbar(shifted, values, yerr=bars, fmt="none", color=colour, elinewidth=0.8)
            axes.plot(
                limits, [rule["expected"] for rule in rules], ":", color=colour, label=f"{parser}, if independent"
            )
    if best := recommended(line):
        axes.axvline(best["limit"], color=COLOURS[2], linewidth=1, linestyle="--", label="recommended limit")
    axes.set(title=title, xlabel="length limit (output tokens)")
    axes.set_ylabel(unit)
    if what == "collisions":
        axes.set_ylim(top=1.5 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="best" if what != "collisions" else "upper right", ncols=2)


def _trade(axes: Axes, line: Line) -> None:
    most = line["rules"][-1]["collisions"]
    for parser, colour, shape in zip(_PARSERS, (COLOURS[0], COLOURS[3]), "os", strict=True):
        rules = [rule for rule in line["rules"] if rule["parser"] == parser]
        lost, avoided = [100 * rule["right_lost"] for rule in rules], [most - rule["collisions"] for rule in rules]
        axes.plot(lost, avoided, f"{shape}-", color=colour, label=f"{parser} parser")
        for place in (0, 3, len(rules) - 1):
            axes.annotate(
                f"{rules[place]['limit']:,}",
                (lost[place], avoided[place]),
                (5, 4),
                textcoords="offset points",
                fontsize=7.5,
            )
    if best := recommended(line):
        axes.plot(
            100 * best["right_lost"],
            most - best["collisions"],
            "o",
            ms=11,
            mfc="none",
            color=COLOURS[2],
            label=f"recommended: {best['limit']:,} tokens",
        )
    axes.set(title="Right answers lost against collisions avoided", xlabel="right answers lost (% of samples)")
    axes.set_ylabel("collisions avoided (steps)")
    axes.legend(loc="center right")
