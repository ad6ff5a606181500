"""What stands below the top of the page: one function a section, from the numbers to HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from langgraph_maker.journal.records import Entry
from langgraph_maker.models.prices import dated
from langgraph_maker.report import markup
from langgraph_maker.report.charts import bars, binned, curve, drawn_graph, percent, span, stacked
from langgraph_maker.report.markup import Child, h
from langgraph_maker.report.numbers import Numbers
from langgraph_maker.report.words import counted, dollars, estimate, figures, note, sentence, table, took, utc

__all__ = [
    "alarms",
    "flags",
    "graph",
    "hardest",
    "money",
    "rates",
    "settings",
    "times",
    "undecided",
    "under_way",
    "votes",
]

_ROWS = 20


def alarms(found: Numbers) -> Child:
    """Return assumptions that no longer held, the last first."""
    raised = found["alarms"]
    if not raised:
        return note("None is in the journal.")
    return (
        [
            h(
                "p",
                h("b", f"{markup.shown(alarm['what'])}, after {counted(alarm['steps'], 'step')}: "),
                sentence(markup.shown(alarm["finding"])),
                " Remedy: ",
                sentence(markup.shown(alarm["remedy"])),
                class_="outcome warning",
            )
            for alarm in raised[: -_ROWS - 1 : -1]
        ],
        note(f"The last {_ROWS} of {len(raised):,}.") if len(raised) > _ROWS else "",
    )


def under_way(found: Numbers) -> Child:
    """Return ballots that are not decided, with all that they have counted."""
    ballots, still = found["open_ballots"], found["open"]
    if not ballots:
        return ""
    rows: list[list[Child]] = [
        [
            f"{ballot['step']:,}" + (f", {ballot['inner']}" if ballot["inner"] else ""),
            f"{ballot['samples']:,}",
            [
                h("div", h("b", f"{cast['count']:,} × "), h("code", markup.shown(cast["vote"])))
                for cast in ballot["counts"][:_ROWS]
            ],
            _flagged(ballot["flags"]),
            markup.shown(ballot["last_flag"], 120),
        ]
        for ballot in ballots
    ]
    return (
        table(["step", "samples", "votes so far", "flags", "the last flag"], rows),
        note(f"{len(ballots):,} of {still['ballots']:,} ballots under way, those with most samples.")
        if still["ballots"] > len(ballots)
        else "",
    )


def graph(found: Numbers) -> Child:
    """Return the nodes, with what passed through them."""
    return drawn_graph(
        {
            "decompose": counted(found["steps"] + found["open"]["ballots"], "step"),
            "sample": f"{found['samples']:,} drawn",
            "guard": f"{found['flagged']:,} flagged",
            "tally": counted(found["samples"] - found["flagged"], "vote"),
            "escalate": _escalated(found),
            "update": f"{found['steps']:,} decided",
        }
    )


def _escalated(found: Numbers) -> str:
    totals = found["totals"]
    if found["status"] == "unresolved" or not (totals["climbed"] or totals["audits"]):
        return f"{int(found['status'] == 'unresolved')} unresolved"
    return f"{totals['climbed']:,} escalated" if totals["climbed"] else f"{totals['audits']:,} audited"


def rates(found: Numbers) -> Child:
    """Share of right answers and of valid samples: what was measured before, and what the ballots say."""
    totals, seen, before = found["totals"], found["outlook"], found["calibration"]
    p = [_Row("observed", f"{totals['steps']:,} ballots", **seen["p"])]
    v = [_Row("observed", f"{totals['samples']:,} samples", **seen["valid_rate"])]
    said = "Nothing was calibrated before this run (--k auto does)."
    if before is not None:
        right = (before["p"], before["p_low"], before["p_high"])
        valid = (before["valid_rate"], before["valid_low"], before["valid_high"])
        p.insert(0, _Row("calibrated", f"{before['valid']:,} samples", *right))
        v.insert(0, _Row("calibrated", f"{before['samples']:,} samples", *valid))
        said = f"Calibrated: {markup.shown(before['model'], 80)}, against the {before['reference']}."
    return (
        h(
            "p",
            h("b", "p"),
            ", the share of right answers among valid ones. Observed, it knows no truth, and takes steps to be alike.",
        ),
        _estimates(p),
        h("p", h("b", "v"), ", the share of samples without a red flag."),
        _estimates(v),
        note(f"With bounds of 95 %. {said}"),
    )


class _Row(NamedTuple):
    how: str
    of: str
    value: float | None
    low: float
    high: float


def _estimates(rows: list[_Row]) -> Child:
    """Return estimates one below the other, drawn to one scale."""
    ends = (min(row.low for row in rows), max(row.high for row in rows))
    return h(
        "table",
        [
            (
                h(
                    "tr",
                    h("th", row.how, scope="row"),
                    h("td", estimate(row.value, row.low, row.high)),
                    h("td", row.of, class_="n dim"),
                ),
                h("tr", h("td", span(row.value, row.low, row.high, ends), colspan=3)) if len(rows) > 1 else "",
            )
            for row in rows
        ],
        class_="bars estimates",
    )


def votes(found: Numbers) -> Child:
    """Return how many votes decided a step."""
    totals = found["totals"]
    if not totals["steps"]:
        return ""
    mean, seen = totals["votes"] / totals["steps"], found["outlook"]
    amount = seen["effective_votes"]
    alike = "" if amount is None else f" A step's votes amount to {amount:.2f} independent ones, where steps differ so."
    hard = seen["hard_high"]
    split = "" if hard is None else f" Answers are split on at most {counted(hard, 'step')} (95 %)."
    return (
        bars(binned(totals["votes_per_step"]), of=totals["steps"], logarithmic=True),
        note(
            f"Steps by the votes that decided them, {mean:.2f} in the mean; {counted(totals['lost'], 'vote')} lost, in"
            f" {counted(sum(totals['contested']), 'step')}.{alike}{split} Bars are logarithmic."
        ),
    )


def undecided(found: Numbers) -> Child:
    """Return how many steps took more than j samples, and how many that should have been."""
    counts, law = found["outlook"]["undecided"], found["outlook"]["undecided_law"]
    if not found["steps"]:
        return ""
    expected = (
        " The line is what one p and one v for all steps let expect: dots well above it are hard steps." if law else ""
    )
    totals = found["totals"]
    several = (
        " Steps that escalated, were audited, split or decided by a human count with the samples of all their"
        " votes,"
        " of which the line knows but one."
        if law and (totals["climbed"] or totals["audits"] or totals["by_human"])
        else ""
    )
    return (
        curve(counts, law, "samples drawn for a step (j)"),
        note(f"Decided steps that took more than j samples, flagged ones included.{expected}{several}"),
    )


def hardest(found: Numbers) -> Child:
    """Return the steps that took most samples, with their ballots as the journal has them."""
    if not found["hardest"]:
        return ""
    climbs = any(entry["tier"] or entry["audits"] or entry["human"] for entry in found["hardest"])
    late = any(entry["timeouts"] for entry in found["hardest"])
    columns = {**_COLUMNS, **(_LATE if late else {}), **(_CLIMBING if climbs else {})}
    return (
        table(list(columns), [[column(entry) for column in columns.values()] for entry in found["hardest"]]),
        note(
            (
                h("i", class_="a"),
                " votes for the winner ",
                h("i", class_="b"),
                " votes for other answers, which the journal keeps as a sum ",
                h("i", class_="c"),
                " flagged samples",
            )
        ),
    )


def _ballot(entry: Entry) -> Child:
    won, lost, flagged = entry["winner_votes"], entry["votes"] - entry["winner_votes"], sum(entry["flags"].values())
    return stacked([("a", won), ("b", lost), ("c", flagged)]), f"{won:,} : {lost:,}"


_COLUMNS: Mapping[str, Callable[[Entry], Child]] = {
    "step": lambda entry: f"{entry['step']:,}",
    "samples": lambda entry: f"{entry['samples']:,}",
    "votes, won : lost": _ballot,
    "lead": lambda entry: f"{entry['margin']:,}",
    "flags": lambda entry: _flagged(entry["flags"]),
    "rounds": lambda entry: f"{entry['rounds']:,}",
    "decided": lambda entry: h("code", markup.shown(entry["vote"].get("action"), 120)),
}
"""What is shown of a journal entry."""

_LATE: Mapping[str, Callable[[Entry], Child]] = {"timed out": lambda entry: f"{entry['timeouts']:,}"}
"""What is shown where calls timed out."""

_CLIMBING: Mapping[str, Callable[[Entry], Child]] = {
    "tier, from 0": lambda entry: f"{entry['tier']:,}",
    "audits, disagreed": lambda entry: f"{entry['audits']:,}, {entry['disagreed']:,}",
    "by": lambda entry: "a human" if entry["human"] else _parts(entry) if entry["finer"] else "vote",
}
"""What more is shown where there is a ladder or an audit."""


def _parts(entry: Entry) -> str:
    parts = "sub-step" if entry["by"] in {"", "split"} else f"vote in the tier {markup.shown(entry['by'], 40)}"
    return f"{counted(entry['finer'], parts)}, with all their votes and the least of their leads"


def _flagged(flags: dict[str, int]) -> str:
    return ", ".join(f"{count:,} × {markup.shown(reason, 60)}" for reason, count in list(flags.items())[:_ROWS]) or "–"


def flags(found: Numbers) -> Child:
    """Return responses that were discarded, by reason."""
    reasons = list(found["flags"].items())
    if not reasons:
        return note("No sample was flagged.")
    rows = [(markup.shown(reason, 60), count) for reason, count in reasons[:_ROWS]]
    if len(reasons) > _ROWS:
        rows.append((f"{len(reasons) - _ROWS:,} other reasons", sum(count for _, count in reasons[_ROWS:])))
    share = percent(found["flagged"], found["samples"])
    hit = counted(found["totals"]["flagged_steps"] + found["open"]["flagged_steps"], "step")
    hit += " and those done in sub-steps" if found["totals"]["by_split"] else ""
    return (
        bars(rows, of=found["flagged"], named=True),
        note(f"{counted(found['flagged'], 'sample')}, {share} of all, in {hit}."),
    )


def money(found: Numbers) -> Child:
    """Return what all samples used, and what the whole task takes at that rate."""
    usage, seen, steps = found["usage"], found["outlook"], found["steps"]
    each = None if usage["cost"] is None or not steps else usage["cost"] / steps
    pairs: list[tuple[str, Child]] = [
        ("input tokens", f"{usage['input_tokens']:,}"),
        ("of them cached", f"{usage['cached_input_tokens']:,}"),
        ("output tokens", f"{usage['output_tokens']:,}"),
        *((f"served as {tier}", counted(samples, "sample")) for tier, samples in usage.get("tiers", {}).items()),
        ("cost", dollars(usage["cost"])),
        ("cost per step", dollars(each)),
    ]
    if found["status"] != "solved" and seen["cost_projected"] is not None:
        pairs.append(("projected, for the whole", dollars(seen["cost_projected"])))
    before = found["calibration"]
    if before is not None:
        pairs.append(("calibrated before, apart", dollars(before["spent"])))
        if before["expected_cost"] is not None:
            pairs.append(("cost that it let expect", dollars(before["expected_cost"])))
    said = "Tokens as the provider counted them"
    if found["simulated"] == "all":
        said += "; the model is simulated, and nothing was paid"
    elif usage["cost"] and any(work["settings"].get("price") is None for work in found["sessions"]):
        said += f"; dollars are {dated()}"
    if found["totals"]["cancelled"]:
        said += f"; {found['totals']['cancelled']:,} hedged calls were not waited for, and their cost is not known"
    return figures(*pairs), note(f"{said}.")


def times(found: Numbers) -> Child:
    """Return when, and by how many processes."""
    time = found["time"]
    pairs: list[tuple[str, Child]] = [("begun", utc(time["began"])), ("ended", utc(time["ended"]))]
    if time["seconds"] is not None:
        pairs.append(("between", took(time["seconds"])))
    pairs += [("processes", f"{found['begun']:,}"), ("rounds of voting", f"{found['rounds']:,}")]
    seen = found["outlook"]
    pairs += [("samples that timed out", f"{seen['timeouts']:,}")] if seen["timeouts"] else []
    pairs += [("in flight and lost, at most", f"{seen['in_flight_lost']:,}")] if seen["in_flight_lost"] else []
    pauses = "Pauses between processes are included. " if found["begun"] > 1 and time["seconds"] is not None else ""
    if time["seconds"] is None and time["ended"] is not None:
        pauses = "The clock was set while the run was under way, so how long it took is not known. "
    return figures(*pairs), note(f"{pauses}Rounds are summed over steps.")


def settings(found: Numbers) -> Child:
    """Return what the run was started with, and the settings of each process."""
    names = list(dict.fromkeys(name for work in found["sessions"] for name in work["settings"]))
    rows: list[list[Child]] = [
        [
            utc(work["began"]),
            f"{work['lanes']:,}",
            *(markup.shown(work["settings"].get(name, "–"), 120) for name in names),
        ]
        for work in found["sessions"]
    ]
    left_out = found["begun"] - len(rows)
    return (
        figures(
            ("k", str(found["k"])),
            ("raised to", str(found["raised"] or "–")),
            *((markup.shown(name, 60), markup.shown(value, 120)) for name, value in found["parameters"].items()),
        ),
        table(["process started", "lanes", *(_LABELS.get(name, name.replace("_", " ")) for name in names)], rows),
        note(f"The last {len(rows)} of {found['begun']:,} processes.") if left_out else "",
        note(f"Fingerprint of what was decided: {found['digest']}") if found["digest"] else "",
    )


_LABELS = {
    "max_samples_per_step": "max samples a step",
    "max_total_samples": "max samples in all",
    "max_cost": "max cost, $",
    "price": "$/M tokens, input and output",
}
"""What settings are called whose names do not say it."""
