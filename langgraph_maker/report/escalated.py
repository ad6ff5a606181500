"""What the page says of steps whose first vote did not converge: questions, escalations, what audits found."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from langgraph_maker.core.questions import Question
from langgraph_maker.report import markup
from langgraph_maker.report.markup import Child, h
from langgraph_maker.report.numbers import Numbers
from langgraph_maker.report.words import figures, note, sentence, table

__all__ = ["asked_of", "ladder", "questions"]

_ROWS = 20


def questions(found: Numbers) -> Child:
    """Return what the run waits for: why, the candidates, and the command that answers."""
    return asked_of(found["run_id"], found["questions"], found["namespace"])


def asked_of(run_id: str, asked: list[Question], namespace: Sequence[str]) -> Child:
    """Return the same of a run's questions."""
    if not asked:
        return ""
    return (
        [
            (
                h("p", h("b", f"Step {markup.shown(one['id'], 40)}: "), sentence(markup.shown(one["why"], 300))),
                h("p", "The last answer was none: ", sentence(markup.shown(one["problem"], 300)))
                if "problem" in one
                else "",
                h("p", "state ", h("code", markup.shown(one["state"]))),
                table(
                    ["number", "votes", "candidate"],
                    [
                        [str(place), f"{cast['count']:,}", h("code", markup.shown(cast["vote"]))]
                        for place, cast in enumerate(one["candidates"][:_ROWS])
                    ],
                )
                if one["candidates"]
                else "",
                h("p", h("code", markup.shown(_answer(one["id"], run_id, namespace, picks=bool(one["candidates"]))))),
            )
            for one in asked[:_ROWS]
        ],
        note(f"The first {_ROWS} of {len(asked):,}.") if len(asked) > _ROWS else "",
        note(
            "Each command with the --db of the run; instead also --answer TEXT, --retry or --abort. Once answered, what"
            " began the run resumes it."
        ),
    )


def _answer(step: str, run_id: str, namespace: Sequence[str], *, picks: bool) -> str:
    tenant = [word for label in namespace for word in ("--namespace", label)]
    command = shlex.join(["langgraph-maker", "answer", step, "--run-id", run_id, *tenant])
    return f"{command} {'--pick NUMBER' if picks else '--retry'}"


def ladder(found: Numbers) -> Child:
    """Return how many steps were not decided by their first vote alone."""
    totals = found["totals"]
    if not (totals["climbed"] or totals["audits"] or totals["by_human"]):
        return ""
    return (
        figures(
            ("decided above the first tier", f"{totals['climbed']:,}"),
            ("decided in sub-steps", f"{totals['by_split']:,}"),
            ("decided by a human", f"{totals['by_human']:,}"),
            ("audited, asked again in another way", f"{totals['audits']:,}"),
            ("of these did not agree", f"{totals['disagreed']:,}"),
        ),
    )
