"""What a run's end looks like on the terminal."""

from __future__ import annotations

from typing import Literal

from langgraph_maker.cli.progress import alarmed, calibrated
from langgraph_maker.cli.shell import as_options
from langgraph_maker.cli.tables import counted, pairs
from langgraph_maker.core.task import Task
from langgraph_maker.journal.databases import shown
from langgraph_maker.models import prices
from langgraph_maker.models.resolve import Model, is_simulated, model_name
from langgraph_maker.runs import auto_k
from langgraph_maker.runs.result import Run

__all__ = ["summary"]


def summary(
    task: Task, model: str, k: int | Literal["auto"], db: str, result: Run, *, asked: Model, by_list: bool
) -> str:
    """Return how a run ended, how sure that is and what it took, in lines that fit; the first word is the status.

    `by_list` says that the cost is by the price list.
    """
    simulated = " (a simulated model)" if is_simulated(model) else ""
    ended = result.status == "solved" and result.steps != task.steps  # earlier than it could have
    whole = "" if task.steps is None or ended else f" of {task.steps:,}"
    steps = f"{result.steps:,}{whole} step{'' if result.steps == 1 and not whole else 's'}"
    title = f"{result.status}: {task.name}, {steps} decided, {_others(result)} by a margin of {_margin(k, result)}"
    rows: list[tuple[str, str]] = []
    if result.reason:
        wrong_end = "wrong_end: all steps are done, and the task is not"
        rows.append(("reason", wrong_end if result.reason_code == "wrong_end" else as_options(result.reason)))
    rows.append(("model", f"{model}{simulated}"))
    if (found := result.calibration) is not None:
        other = f"; that was {found.model}, whose k a run that is resumed keeps"
        rows.append(("k", f"{calibrated(found)}{'' if found.model == model_name(asked) else other}"))
        rows += [("warning", found.warning)] if found.warning else []
    rows.append(("samples", f"{result.samples:,}, of them {result.flagged:,} discarded for a red flag"))
    if result.status == "solved" and result.undecided_after:
        rows.append(("hardest", f"step took {counted(len(result.undecided_after) - 1, 'sample')}"))
    rows += [
        ("tokens", _tokens(result)),
        ("cost", _cost(result, model, by_list=by_list)),
        ("sure", result.guarantee),
        ("digest", result.digest),
        ("run id", f"{result.run_id}, in {shown(db)}"),
    ]
    rows += [("alarm", alarmed(alarm)) for alarm in (result.outlook.alarms if result.outlook else [])]
    return f"{title}\n{pairs(rows)}"


def _others(result: Run) -> str:
    """Return how many steps no vote on the step itself decided, before what is said of the others."""
    human, split = (result.outlook.by_human, result.outlook.by_split) if result.outlook else (0, 0)
    ways = [f"{human:,} of them by a human"] * (human > 0) + [f"{split:,} of them in sub-steps"] * (split > 0)
    return ", ".join([*ways, "each other" if ways else "each"])


def _margin(k: int | Literal["auto"], result: Run) -> str:
    if k != "auto":
        return str(k)
    found = result.calibration
    ks = [] if found is None or found.steps is None else auto_k.ks(found)
    return str(ks[0]) if len(ks) == 1 else "its own"


def _tokens(result: Run) -> str:
    usage = result.usage
    cached = f" ({usage['cached_input_tokens']:,} of them cached)" if usage["cached_input_tokens"] else ""
    served = "".join(f"; {counted(count, 'sample')} served as {tier}" for tier, count in usage.get("tiers", {}).items())
    return f"{usage['input_tokens']:,} in{cached}, {usage['output_tokens']:,} out{served}"


def _cost(result: Run, model: str, *, by_list: bool) -> str:
    cost = result.usage["cost"]
    if cost is None:
        return "not known: give --price to have it counted"
    simulated = ", had the model been a real one" if is_simulated(model) else ""
    cancelled = f", without {counted(result.cancelled, 'cancelled call')}" if result.cancelled else ""
    listed = f"; {prices.dated()}" if by_list and not simulated else "; at the published price" if by_list else ""
    return f"${cost:,.4f}{simulated}{cancelled}{listed}"
