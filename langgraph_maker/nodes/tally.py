"""`tally`: count the round's votes and close the ballots that are decided, or that no longer can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from langgraph_maker.core.ballot import Ballot, outcome_of
from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.field_votes import (
    agreement,
    cast_fields,
    field_decisions,
    fields_deficit,
    least_agreement,
    whole,
)
from langgraph_maker.core.foreign import excerpt
from langgraph_maker.core.margin import Margin, check_least, margin_asked, margin_terms
from langgraph_maker.core.questions import ranking
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import BallotState, Decision, Outcome, Sample, undecided
from langgraph_maker.nodes.budget import current_budget
from langgraph_maker.nodes.context import Given, overrides
from langgraph_maker.nodes.emit import emit
from langgraph_maker.nodes.hopeless import hopeless
from langgraph_maker.nodes.ladder.kind import placed
from langgraph_maker.nodes.ladder.ladder import Ladder, restarted
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.run_events import votes_event
from langgraph_maker.nodes.state import VotingState

__all__ = [
    "Terms",
    "converged",
    "decision",
    "deficit",
    "reopened_below",
    "stands",
    "tally_node",
    "terms",
    "to_be_drawn",
    "unanswered",
]

Terms: TypeAlias = Callable[[BallotState], tuple[int, int]]
"""From a ballot to the margin it takes, and how many samples it may have used when it is decided."""


def tally_node(
    *,
    k: Margin = 3,
    max_samples_per_step: int | None = None,
    hedge: int = 0,
    ladder: Ladder | None = None,
    min_k: int | None = None,
    by_field: bool = False,
    decisions: bool = True,
) -> Node:
    """Apply first-to-ahead-by-k to each ballot, votes in the order in which they were issued.

    A vote that arrives before one that was issued earlier waits for it, so that no answer gains by being fast. With
    hedges votes count as they arrive. A ballot whose remaining samples could not decide it any more is unresolved; no
    plurality ever wins. One whose first samples are all flagged for one reason is unresolved before (see `hopeless`).
    Where there is a tier to escalate to, one that a sequential test finds hard is given up before
    (see `abandonment`). When no ballot is open, the decisions are written, one a subtask.

    Args:
        k: The margin, or from a subtask's id to its own.
        max_samples_per_step: Samples a ballot may use, flagged ones included; None for `check_budget`'s default.
        hedge: As given to `sample_node`.
        ladder: The same.
        min_k: The same.
        by_field: Whether the keys of votes are those of `FieldVotes`, so that each field is decided by its own votes.
        decisions: Whether to write them, and to emit votes (`events.Votes`); a maker graph reads the ballots
            themselves, and emits rounds.

    Raises:
        ValueError: For a bad `k` or `max_samples_per_step`; while running, for those of a subtask.
    """
    check_least(min_k, k)
    usual = terms(k, max_samples_per_step, ladder)
    escalates = ladder is not None and not ladder.plain

    def tally(state: VotingState, _: RunnableConfig) -> dict[str, Any]:
        given = overrides()
        own = terms(k, max_samples_per_step, ladder, given, min_k) if given else usual
        ballots = [_by_field(ballot) for ballot in state["ballots"]] if by_field else state["ballots"]
        ballots = [held_to(ballot, own) for ballot in ballots]
        ballots = [_count(ballot, *own(ballot), hedge) if _to_count(ballot, hedge) else ballot for ballot in ballots]
        moved = {one["id"] for one in state["ballots"] if one["arrived"]}
        if any(one["flags"] and not one["counts"] and one["id"] in moved for one in ballots):
            lost = hopeless(ballots, state) & moved
            ballots = [_unresolved(ballot, hedge) if ballot["id"] in lost else ballot for ballot in ballots]
        if escalates:
            ballots = [_given_up(one, own(one)[0], hedge) if one["status"] == "open" else one for one in ballots]
        update: dict[str, Any] = {"ballots": ballots}
        if not decisions:
            return update
        if told := [after for after, before in zip(ballots, state["ballots"], strict=True) if after is not before]:
            _tell(told)
        if converged(ballots, ladder if escalates else None):
            update["decisions"] = [decision(ballot) for ballot in ballots]
        return update

    def _given_up(ballot: BallotState, k: int, hedge: int) -> BallotState:
        if ladder is None or not (hedge or not unanswered(ballot)):
            return ballot
        if not (why := ladder.gives_up(ballot, k)):
            return ballot
        return {**ballot, "status": "unresolved", "ladder": placed(ballot, why)}

    return Node("tally", tally)


def _by_field(ballot: BallotState) -> BallotState:
    return ballot if "fields" in ballot else {**ballot, "fields": {}}


def _unresolved(ballot: BallotState, hedge: int) -> BallotState:
    """Return a ballot that is given up, unless it waits for samples that were paid for."""
    over = ballot["status"] == "open" and (hedge or not unanswered(ballot))
    return {**ballot, "status": "unresolved"} if over else ballot


def converged(ballots: Sequence[BallotState], ladder: Ladder | None) -> bool:
    """Return whether nothing more is to be done about any of these ballots."""
    return all(
        ballot["status"] in {"decided", "unresolved"} and not (ladder and ladder.concerns(ballot)) for ballot in ballots
    )


def terms(
    k: Margin,
    max_samples_per_step: int | None,
    ladder: Ladder | None = None,
    given: Given = MappingProxyType({}),
    min_k: int | None = None,
) -> Terms:
    """Return what each ballot takes: the same for all, of its subtask, or of its tier.

    What is `given` takes the place of the others, but lowers k no further than to `min_k`, see `margin_terms.asked`.

    Raises:
        ValueError: See `margin_terms`; while running, for less than the k that a ballot was started with.
    """
    budget = given.get("max_samples_per_step", max_samples_per_step)
    own = margin_terms(margin_asked(k, given, min_k), budget)

    def of(ballot: BallotState) -> tuple[int, int]:
        margin, most = own(ballot["id"], ballot["state"])
        if margin < ballot.get("k", 0):
            raise ValueError(
                f"the vote {excerpt(ballot['id'])} was started with k = {ballot['k']} and cannot continue with"
                f" less, {margin}:"
                " leave k as it was, or begin another vote, as on another thread"
            )
        if ladder is not None and not ladder.plain:
            margin, most = ladder.terms(ballot, margin, budget)
        held = current_budget()
        return margin, most if held is None else held.most(ballot, margin, most)

    return of


def _tell(ballots: Sequence[BallotState]) -> None:
    emit(votes_event(ballots))


def _message(said: str) -> AIMessage:
    """Return the response that won; without its usage where that is not as LangChain has it."""
    try:
        return AIMessage.model_validate_json(said)
    except ValueError:
        return AIMessage.model_validate(json.loads(said) | {"usage_metadata": None})


def decision(ballot: BallotState) -> Decision:
    """Return the closed ballot as its `Decision`."""
    fields, won = ballot.get("fields"), ballot["outcome"]["vote"] if ballot["status"] == "decided" else None
    decided = ballot["status"] == "decided"
    said = ballot["messages"].get(canonical(won)) if decided and "messages" in ballot else None
    made: Decision = {
        "subtask_id": ballot["id"],
        "status": "decided" if decided else "unresolved",
        "vote": won,
        "message": None if said is None else _message(said),
        "counts": ranking(ballot),
        "samples": ballot["samples"],
        "flagged": sum(ballot["flags"].values()),
        "flags": ballot["flags"],
        "last_flag": ballot["last_flag"],
        "rounds": ballot["rounds"],
        "cancelled": ballot["asked"] - ballot["samples"],
        "usage": ballot["usage"],
        "tier": ballot["ladder"]["tier"] if "ladder" in ballot else 0,
        "human": "human" in ballot,
        "agreement": agreement(ballot["counts"]) if fields is None else least_agreement(fields),
    }
    if fields is not None:
        made["fields"] = field_decisions(fields)
    return made


def deficit(ballot: BallotState, k: int, budget: int | None = None) -> int:
    """Return the least number of votes, beside all that have arrived, that could decide a ballot.

    Where votes are by field, those that a `budget` of samples cannot decide are left out.
    """
    if (fields := ballot.get("fields")) is not None:
        before = sum(ballot["counts"].values())
        for sample in ballot["waiting"]:
            if "key" in sample:
                fields, before = cast_fields(fields, k, sample["key"], sample["vote"], before), before + 1
        room = None if budget is None else budget - ballot["samples"]
        return fields_deficit(fields, k, room)
    counted = Ballot.resume(k, ballot["counts"], ballot["votes"])
    for sample in ballot["waiting"]:
        if "key" in sample and counted.deficit:
            counted.cast(sample["vote"], sample["key"])
    return counted.deficit


def reopened_below(ballot: BallotState, k: int) -> BallotState:
    """Return the ballot, open where it was decided by less than `k`, or not as its own votes say.

    A process with a smaller margin leaves such ballots, or someone's edit.
    """
    if ballot["status"] != "decided" or stands(ballot, k):
        return ballot
    return restarted(ballot) if "outcome" in ballot and ballot["outcome"]["by"] else undecided(ballot)


def held_to(ballot: BallotState, asked: Terms) -> BallotState:
    """Return the ballot, open where it was decided by less than is asked for now, though it asked for more once."""
    return reopened_below(ballot, asked({**ballot, "k": 1})[0]) if ballot["status"] == "decided" else ballot


def stands(ballot: BallotState, k: int) -> bool:
    """Return whether a ballot may be handed on: decided by `k`, or by a human, and as the votes that it has say."""
    if (outcome := ballot.get("outcome")) is None or ballot["status"] != "decided":
        return False
    if outcome["by"]:
        return outcome["margin"] >= k or outcome["by"] == "human"
    return bool(ballot["counts"]) and outcome["margin"] >= k and outcome == _outcome(ballot) and not _short(ballot, k)


def _short(ballot: BallotState, k: int) -> bool:
    """Return whether votes are by field, and one of them is not decided by `k`."""
    fields = ballot.get("fields")
    return fields is not None and fields_deficit(fields, k) > 0


def to_be_drawn(state: VotingState, asked: Terms) -> bool:
    """Return whether a vote is not to be handed on yet: a ballot is open, is missing, or does not stand."""
    ballots, subtasks = state["ballots"], state["subtasks"]
    if [(one["id"], one["state"]) for one in ballots] != [(one["id"], one["state"]) for one in subtasks]:
        return True
    return any(held_to(one, asked)["status"] == "open" for one in ballots)


def unanswered(ballot: BallotState) -> int:
    """Return how many samples that were issued have still to be counted in their turn, and have not arrived."""
    return ballot["asked"] - ballot["following"] - len(ballot["waiting"])


def _to_count(ballot: BallotState, hedge: int) -> bool:
    """Return whether something arrived, or nothing is out and the budget may have changed."""
    return bool(ballot["arrived"]) or (ballot["status"] == "open" and bool(hedge or not unanswered(ballot)))


def _count(state: BallotState, k: int, budget: int, hedge: int) -> BallotState:
    by_field = _Fields(state, k, budget) if "fields" in state else None
    ballot = by_field or Ballot.resume(k, state["counts"], state["votes"])
    flags, last_flag = state["flags"], state["last_flag"]
    due, waiting = (_arrived(state), []) if hedge else _due(state)
    late = 0  # what was asked before the ballot escalated is drawn, and counts for nothing here
    for sample in due:
        if "flag" in sample:
            reason, last_flag = sample["flag"]["reason"], str(RedFlag(**sample["flag"]))
            flags = {**flags, reason: flags.get(reason, 0) + 1}
        elif "key" not in sample:
            late += 1
        elif ballot.deficit:  # nor does what comes once it is decided, by hedges or by a lower k(step)
            ballot.cast(sample["vote"], sample["key"])
    after: BallotState = {
        **(state if by_field is None else by_field.state()),
        "counts": ballot.counts,
        "votes": ballot.votes,
        "samples": state["samples"] + len(state["arrived"]),
        "following": state["asked"] if hedge else state["following"] + len(due),
        "waiting": waiting,
        "flags": flags,
        "last_flag": last_flag,
        "arrived": [],
    }
    if not state["samples"] and (order := _order(state)):
        after["order"] = order
    if messages := _messages(state, due, ballot.votes):
        after["messages"] = messages
    if late:
        after["ladder"] = {**state["ladder"], "drawn": state["ladder"]["drawn"] + late}
        budget += late
    if ballot.deficit == 0:
        after["status"], after["outcome"] = "decided", _outcome(after)
    elif (hedge or not unanswered(after)) and (
        after["samples"] + ballot.deficit > budget or (state["arrived"] and _refused(after, k))
    ):
        after["status"] = "unresolved"
    return after


def _outcome(ballot: BallotState) -> Outcome:
    outcome = outcome_of(ballot["counts"], ballot["votes"])
    if (fields := ballot.get("fields")) is None:
        return outcome
    return {**outcome, "vote": whole(fields), "margin": least_agreement(fields)["lead"]}


def _messages(state: BallotState, due: Sequence[Sample], votes: Mapping[str, Any]) -> dict[str, str]:
    """Return the messages of the votes that are the first under their keys; an audit leaves those of the vote."""
    messages, audited = state.get("messages", {}), "inner" in state
    cast = {*state["counts"]}
    for sample in due:
        if "message" in sample and sample["key"] in votes and sample["key"] not in cast:
            cast.add(sample["key"])
            first = {canonical(sample["vote"]): sample["message"]}
            messages = first | messages if audited else messages | first
    return messages


class _Fields:
    """A ballot whose fields are voted on: the `counts` of whole readings are kept, and decide nothing."""

    def __init__(self, state: BallotState, k: int, budget: int) -> None:
        self._state, self.fields = state, {**state["fields"]}
        self.counts, self.votes = {**state["counts"]}, {**state["votes"]}
        self._k, self._room = k, budget - state["samples"] - len(state["arrived"])

    def cast(self, vote: Any, key: str) -> None:
        self.fields = cast_fields(self.fields, self._k, key, vote, sum(self.counts.values()))
        self.counts[key] = self.counts.get(key, 0) + 1
        self.votes.setdefault(key, vote)

    def state(self) -> BallotState:
        return {**self._state, "fields": self.fields}

    @property
    def deficit(self) -> int:
        return fields_deficit(self.fields, self._k, self._room)


def _refused(ballot: BallotState, k: int) -> bool:
    """Return whether a ballot's samples are refusals, so that more of them would be no more to the point."""
    flagged = sum(ballot["flags"].values()) - (ballot["ladder"]["flagged"] if "ladder" in ballot else 0)
    refusals = min(ballot["flags"].get("refusal", 0), flagged)
    return refusals >= max(k, _REFUSALS) * (1 + sum(ballot["counts"].values()))


_REFUSALS = 5
"""So many refusals for each vote there is, and for none: what is refused now and then is voted on all the same."""


def _order(state: BallotState) -> list[str] | None:
    """Return the keys of the first votes that arrived first and last, where they differ.

    Without the very first, which may be drawn at another temperature, these are alike but for when they arrived.
    """
    votes = [sample["key"] for sample in state["arrived"] if sample["number"] and "key" in sample]
    return [votes[0], votes[-1]] if votes and votes[0] != votes[-1] else None


def _arrived(state: BallotState) -> list[Sample]:
    return [*state["waiting"], *state["arrived"]]


def _due(state: BallotState) -> tuple[list[Sample], list[Sample]]:
    """Return the samples that are next in the order of issue, and those that wait for an earlier one."""
    arrived = sorted(_arrived(state), key=itemgetter("number"))
    due = [one for place, one in enumerate(arrived) if one["number"] == state["following"] + place]
    return due, arrived[len(due) :]
