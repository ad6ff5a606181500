"""The top of the page: how the run stands, in plain words, and its main figures."""

from __future__ import annotations

from langgraph_maker.report import markup
from langgraph_maker.report.markup import Child, Html, h
from langgraph_maker.report.numbers import Numbers
from langgraph_maker.report.words import counted, dollars, figures, note, sentence, took

__all__ = ["head"]


def head(found: Numbers) -> Html:
    """Outcome and guarantee, and what to know before any figure is read."""
    time = found["time"]
    parameters = ", ".join(f"{name} = {markup.shown(value, 60)}" for name, value in found["parameters"].items())
    return h(
        "header",
        h("p", h("code", markup.shown(found["run_id"], 100)), " · ", markup.shown(parameters), class_="dim"),
        h("h1", markup.shown(found["task"], 100)),
        h("p", h("b", found["status"].upper()), " ", _outcome(found), class_=f"outcome {found['status']}"),
        [h("p", warning, class_="outcome warning") for warning in _warnings(found)],
        h("p", h("b", "How sure it is: "), sentence(found["guarantee"])),
        figures(
            ("steps decided", f"{found['steps']:,}"),
            ("samples drawn", f"{found['samples']:,}"),
            ("discarded for a red flag", f"{found['flagged']:,}"),
            (
                "cost, had it been a real model" if found["simulated"] == "all" else "cost",
                dollars(found["usage"]["cost"]),
            ),
            ("from begin to end", "not known" if time["seconds"] is None else took(time["seconds"])),
            ("alarms", str(len(found["alarms"]))),
        ),
        _guarantee(found),
    )


def _outcome(found: Numbers) -> str:
    status, led, reason = found["status"], _led(found), _reason(found)
    steps = (
        counted(found["steps"], "step")
        if found["planned"] is None
        else f"{found['steps']:,} of {found['planned']:,} steps"
    )
    if status == "solved":
        return f"All {counted(found['steps'], 'step')} decided{led}, and the task is done."
    if status == "unresolved":
        return f"The run ended after {steps}{led}. Nothing was guessed: {reason}"
    if status == "stopped":
        return f"The run is unfinished: it stopped after {steps}{led}. {reason}"
    if status == "waiting":
        return f"The run is unfinished: {steps} decided{led}. {reason}"
    return (
        f"The run is unfinished: so far {steps} decided{led}. It continues as this is written, or broke off without a"
        " word; the command that began it resumes it."
    )


def _led(found: Numbers) -> str:
    lead, totals = found["least_margin"], found["totals"]
    ways = [(totals["by_human"], "by a human"), (totals["by_split"], "in sub-steps")]
    other = [f"{steps:,} {way}" for steps, way in ways if steps]
    if lead is None:
        return f", {' and '.join(other)}" if other else ""
    return f", {', '.join(other)}{' and each other' if other else 'each'} by a lead of at least {counted(lead, 'vote')}"


def _reason(found: Numbers) -> str:
    if found["reason_code"] == "wrong_end":
        return "all steps are done, and the task is not (wrong_end)."
    return sentence(markup.shown(found["reason"]) or "no reason is journalled")


def _warnings(found: Numbers) -> list[Child]:
    warnings: list[Child] = []
    if found["undercut"]:
        warnings.append(
            f"{counted(found['undercut'], 'step')} decided by less than the k of {found['k']} that was asked for:"
            " the journal was altered. journal.verify names them."
        )
    if found["simulated"] == "some":
        warnings.append("Some processes were given a simulated model: figures are of its answers and a real one's.")
    if found["simulated"] == "all":
        warnings.append("The model is a simulated one: no figure here says anything about a real model.")
    if found["calibration"] and found["calibration"]["independence"]["p_value"] < _SIGNIFICANT:
        warnings.append(
            "The calibration saw errors cluster by step: k and all probabilities take them for independent."
        )
    return warnings


_SIGNIFICANT = 0.05


def _guarantee(found: Numbers) -> Html:
    asked = "A k of its own" if found["k"] == "by step" else f"A lead of {found['k']} votes"
    raised = f", raised to {found['raised']} by an alarm," if found["raised"] else ""
    lanes = (
        f" Up to {found['lanes']:,} lanes advanced side by side; where they start was known beforehand."
        if found["lanes"] > 1
        else ""
    )
    human = ", but for those that a human decided" if found["totals"]["by_human"] else ""
    split = " Where a step was done in sub-steps, each of these was." if found["totals"]["by_split"] else ""
    return note(
        f"{asked}{raised} over every other answer decides a step; no step is decided by less{human}.{split} Flagged"
        " responses never vote. No known solution was consulted. Errors that repeat are not corrected: where a model"
        f" gives the same wrong answer more often than the right one, voting confirms it.{lanes}"
    )
