"""`guard`: turn each raw response into a vote or a red flag."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter, signature
from operator import itemgetter
from traceback import format_tb
from typing import Any, Final

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from langgraph_maker.core.ballot import Key, Relation, called_key, check_key, key_function, key_text
from langgraph_maker.core.callables import check_function
from langgraph_maker.core.canonical import canonical, plain
from langgraph_maker.core.endings import withheld
from langgraph_maker.core.errors import MakerError, NotJSONError, NotTextError
from langgraph_maker.core.foreign import error_text, excerpt, shortened
from langgraph_maker.core.json_form import json_form
from langgraph_maker.core.purity import pure
from langgraph_maker.core.red_flags import AnyOf, RedFlag, Rule, RuleLike, TokenLimit, Truncated, check_rule
from langgraph_maker.core.state import BallotState, Sample, Usage, Verdict, total_usage
from langgraph_maker.models import prices
from langgraph_maker.models.prices import Price, check_price
from langgraph_maker.models.responses import message_json
from langgraph_maker.nodes.hopeless import hopeless
from langgraph_maker.nodes.ladder.kind import error_said, placed
from langgraph_maker.nodes.ladder.ladder import Ladder
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import VotingState

__all__ = ["DEFAULT_RED_FLAGS", "Parse", "default_red_flags", "guard_node", "verdict_reader"]

logger = logging.getLogger(__name__)

Parse = Callable[[Any], Any]
"""ψ: from a response's text, or from the whole `AIMessage`, to a vote."""

DEFAULT_RED_FLAGS = TokenLimit(750) | Truncated()
"""The paper's cap of 750 output tokens (section 4.3), and responses that were cut off."""


def default_red_flags(steps: int) -> Rule:
    """Return `DEFAULT_RED_FLAGS` of a response with so many steps: it may be so many times as long."""
    return TokenLimit(750 * steps) | Truncated()


def guard_node(
    *,
    parse: Parse,
    key: Key = canonical,
    validate: Callable[[Any, Any], RedFlag | None] | None = None,
    red_flags: RuleLike | None = DEFAULT_RED_FLAGS,
    price: Price | None = None,
    compares: bool = True,
    ladder: Ladder | None = None,
    inner_red_flags: RuleLike | None = None,
    strict_parse: bool = False,
    messages: bool = False,
) -> Node:
    """Judge every response of the round: flagged ones are counted and discarded, never repaired.

    A `RedFlag` that `parse`, `validate` or a rule raises or returns, or that `key` raises, is data. So is any other
    exception that one of them raises on a response: reason "malformed", and a vote that cannot be kept (see
    `ballot.plain`), such as one with an integer beyond 64 bits. Where the first samples of a ballot are all flagged so,
    the last exception is logged once with its place. What they return by mistake surfaces: a vote of a type that is not
    JSON, see `json_form`, or what is no flag.

    Args:
        parse: ψ, from a response's text to a vote, any JSON value. One whose argument is annotated `AIMessage` gets
            the whole message, so that a tool call can be a vote.
        key: Which votes are equal: those with equal keys, or as a relation of `matchers` has it.
        validate: From a subtask's state and a vote to a flag, or None.
        red_flags: A rule on the response as it came; None for no rule.
        price: What the tokens cost; None for the list price of the model that a response names.
        compares: Whether to note which of a ballot's first answers are the same text (or, where the first two votes
            differ, which of them the third is equal to), as an alarm asks: only where one prompt asks for all.
        ladder: Knows how votes on something else than the step itself are judged (`ladder.Judging`).
        inner_red_flags: The rules for these, where they are others than `red_flags`.
        strict_parse: Whether exceptions other than `RedFlag`, `ValueError` and `RecursionError` surface.
        messages: Whether each vote is passed on with the message that it was read from.

    Raises:
        TypeError: For an invalid `parse`, `validate`, `key` or rule.
    """
    check_function("parse", parse, "from a response's text, or from the message, to a vote")
    if validate is not None:
        check_function("validate", validate, "from a state and a vote to a RedFlag or None")
    check_key(key)
    check_price(price)
    if red_flags is not None:
        check_rule(red_flags)
    role = _Guard(
        parse=parse,
        whole=_takes_message(parse),
        key=key if key is canonical or isinstance(key, Relation) else pure("key", key),
        validate=validate and pure("validate", validate),
        rules=red_flags if red_flags is not None else AnyOf(),
        price=price,
        compares=compares,
        ladder=ladder,
        inner_rules=inner_red_flags,
        strict=strict_parse,
        messages=messages,
    )
    return Node("guard", role.guard)


def verdict_reader(
    *,
    parse: Parse,
    key: Key = canonical,
    validate: Callable[[Any, Any], RedFlag | None] | None = None,
    red_flags: RuleLike | None = None,
    render: Callable[[Any], str] = json.dumps,
) -> Callable[[Any, Any], Verdict]:
    """From a human's answer and a subtask's state to a vote or a flag, by the same way as a response.

    An answer that is not a text is worded by `render` first. Whatever fails is a flag here, so that it is asked again.
    """
    rules = red_flags if red_flags is not None else AnyOf()
    guard = _Guard(parse=parse, whole=_takes_message(parse), key=key, validate=validate, rules=rules)

    def read(answer: Any, state: Any) -> Verdict:
        try:
            text = answer if isinstance(answer, str) else render(answer)
            message = AIMessage(text)
            if flag := guard.flag(message, text):
                return _flagged(flag)
            return guard.read(message if guard.whole else text, state, key_function(key, {}))
        except Exception as error:  # noqa: BLE001 - a task is not written for what a human may say
            return _flagged(RedFlag("malformed", error_text(error)))

    return read


@dataclass
class _Told:
    """The last exception that a function of the user's raised on a response, and what was told once."""

    last: Exception | None = None
    once: bool = False
    confused: bool = False


@dataclass(frozen=True, kw_only=True)
class _Guard:
    parse: Parse
    whole: bool
    key: Key
    validate: Callable[[Any, Any], RedFlag | None] | None
    rules: RuleLike
    price: Price | None = None
    compares: bool = False
    ladder: Ladder | None = None
    inner_rules: RuleLike | None = None
    strict: bool = False
    messages: bool = False
    told: _Told = field(default_factory=_Told)

    def guard(self, state: VotingState, _: RunnableConfig) -> dict[str, Any]:
        ballots = [self.judged(ballot) if ballot["arrived"] else ballot for ballot in state["ballots"]]
        if self.told.last is not None:
            self.tell(ballots, state)
        return {"ballots": ballots}

    def judged(self, ballot: BallotState) -> BallotState:
        """Judge as the ballot's tier does. The ballot is given up there where that fails."""
        if "inner" not in ballot or self.ladder is None:
            return self.judge(ballot, ballot["state"])
        try:
            if (judging := self.ladder.tier(ballot).judging(ballot)) is None:
                return self.judge(ballot, ballot["state"])
            role = replace(
                self,
                parse=judging.parse,
                whole=_takes_message(judging.parse),
                key=judging.key,
                validate=judging.validate,
                rules=self.rules if self.inner_rules is None else self.inner_rules,
                messages=False,
            )
            return role.judge(ballot, judging.state)
        except Exception as error:  # noqa: BLE001 - what is paid for is counted, and the subtask escalates
            return {
                **ballot,
                "usage": total_usage([ballot["usage"], *(self.used(one["response"]) for one in ballot["arrived"])]),
                "arrived": [{"number": one["number"]} for one in ballot["arrived"]],
                "status": "unresolved",
                "ladder": placed(ballot, f"its answers cannot be judged: {error_said(error)}"),
            }

    def judge(self, ballot: BallotState, state: Any) -> BallotState:
        used = [ballot["usage"]]
        seen: dict[str, Verdict] = {}  # answers agree more often than not
        known = {**ballot.get("known", {})}
        key = key_function(self.key, known)
        samples: list[Sample] = []
        first = ballot["ladder"]["first"] if "ladder" in ballot else 0  # earlier ones were asked for something else
        for sample in ballot["arrived"]:
            response = sample["response"]
            used.append(self.used(response))
            verdict = self.verdict(response, state, key, seen) if sample["number"] >= first else {}
            samples.append({**verdict, "number": sample["number"]})  # type: ignore[typeddict-item]
        if not (self.key is canonical or self.told.confused):
            self.compare(ballot, samples)
        if self.messages:
            samples = _with_messages(ballot, samples)
        judged: BallotState = {**ballot, "usage": total_usage(used), "arrived": samples}
        if self.compares and len(seen) > 1 and not ballot.get("samples", 1):
            judged["alike"] = _alike(ballot)
        elif self.compares and ballot.get("samples") == len(ballot.get("counts", ())) == _COMPARED - 1 and samples:
            judged["alike"] = _third(ballot, min(samples, key=itemgetter("number")))
        if known:
            judged["known"] = known
        return judged

    def verdict(self, response: AIMessage, state: Any, key: Callable[[Any], str], seen: dict[str, Verdict]) -> Verdict:
        """Judge one response; those to the same text are the same, `seen` before."""
        text = response.text
        if flag := self.flag(response, text):
            return _flagged(flag)
        if self.whole:
            return self.read(response, state, key)
        if text not in seen:
            seen[text] = self.read(text, state, key)
        return seen[text]

    def used(self, response: AIMessage) -> Usage:
        return prices.usage_of(response, self.price)

    def flag(self, response: AIMessage, text: str) -> RedFlag | None:
        if said := withheld(response):
            return RedFlag(*said)
        try:
            flag = _checked(self.ask("red_flags", self.rules, response))
        except RedFlag as raised:
            flag = raised
        if flag is None and not text.strip() and not (self.whole and response.tool_calls):
            return RedFlag("empty", _TOOL_CALL if response.tool_calls else "no text in the response")
        return flag

    def read(self, answer: Any, state: Any, key: Callable[[Any], str]) -> Verdict:
        try:
            vote = self.ask("parse", self.parse, answer)
            if isinstance(vote, RedFlag):
                return _flagged(vote)
            if vote is None:
                return _flagged(RedFlag("malformed", "parse must return a vote, got None"))
            kept = _kept(vote)
            if self.validate is not None:
                given = kept if isinstance(vote, _AS_KEPT) else vote
                if flag := _checked(self.ask("validate", self.validate, state, given)):
                    return _flagged(flag)
            return {"vote": kept, "key": key_text(self.ask("key", called_key, kept, key), kept)}
        except RedFlag as flag:
            return _flagged(flag)

    def ask(self, name: str, function: Callable[..., Any], *given: Any) -> Any:
        """Return what a user's function makes of a response; what it raises flags that, unless it is to surface."""
        try:
            return function(*given)
        except (RedFlag, MakerError, NotTextError):
            raise
        except Exception as error:
            if self.strict and not isinstance(error, (ValueError, RecursionError)):
                raise
            if not self.told.once:
                self.told.last = error
            said = error_text(error)
            raise RedFlag("malformed", said if name == "parse" else f"{name}: {said}") from error

    def compare(self, ballot: BallotState, verdicts: Sequence[Sample]) -> None:
        """Say once that votes with one key differ in the state that they hand on: the first one's will be taken."""
        first = {**ballot["votes"]}
        for one in verdicts:
            if "key" not in one or (before := first.setdefault(one["key"], one["vote"])) is one["vote"]:
                continue
            if _next_state(before) != _next_state(one["vote"]) and not self.told.confused:
                self.told.confused = True
                logger.warning(
                    "step %s: votes with one key hand on different states, %s and %s, of which the first cast is taken:"
                    " let vote_key tell them apart, or validate flag what is wrong",
                    *(ballot["id"], excerpt(before, 120), excerpt(one["vote"], 120)),
                )

    def tell(self, ballots: Sequence[BallotState], state: VotingState) -> None:
        """Say once what made all samples of a ballot malformed, if it is to be given up for that."""
        error = self.told.last
        if error is None or not hopeless([*map(_as_counted, ballots)], state):
            return
        self.told.last, self.told.once = None, True
        place = "".join(format_tb(error.__traceback__)[-_PLACES:])
        logger.warning(
            "all samples of a step are flagged as malformed, the last for this:\n%s%s", place, error_text(error)
        )


def _as_counted(ballot: BallotState) -> BallotState:
    """Return the ballot with its verdicts counted, as far as `hopeless` goes by it."""
    verdicts = [*ballot["arrived"], *ballot["waiting"]]
    flags = Counter(ballot["flags"])
    flags.update(one["flag"]["reason"] for one in verdicts if "flag" in one)
    counts = ballot["counts"] or {one["key"]: 1 for one in verdicts if "key" in one}
    return {**ballot, "flags": dict(flags), "counts": counts, "samples": ballot["samples"] + len(ballot["arrived"])}


def _with_messages(ballot: BallotState, samples: list[Sample]) -> list[Sample]:
    """Return the samples, those that may be the first under their keys with the messages they were read from."""
    return [
        {**one, "message": message_json(arrived["response"])}
        if "key" in one and one["key"] not in ballot["votes"]
        else one
        for one, arrived in zip(samples, ballot["arrived"], strict=True)
    ]


_COMPARED = 3


def _alike(ballot: BallotState) -> int:
    """Return which two of the first three answers are the same text, see `records.Entry`."""
    texts = {one["number"]: one["response"] for one in ballot["arrived"]}
    if not texts.keys() >= {0, 1, 2}:
        return 0
    first, second, third = (texts[number].text for number in range(_COMPARED))
    return int(second == third != first) - int(first == second != third)


def _third(ballot: BallotState, verdict: Sample) -> int:
    """Return which of two votes that differ the third equals, the second (1) or the first (-1): as likely by chance.

    Where k is 2 that is all there is to see of answers that repeat.
    """
    keys = list(ballot["counts"])
    return 0 if "key" not in verdict else int(verdict["key"] == keys[1]) - int(verdict["key"] == keys[0])


def _takes_message(parse: Parse) -> bool:
    """Return whether the first argument is annotated as a message."""
    try:
        parameters: list[Parameter] = [*signature(parse).parameters.values()]
    except (TypeError, ValueError):  # such as int, or a method of a builtin
        return False
    annotation = parameters[0].annotation if parameters else None
    return getattr(annotation, "__name__", str(annotation)).rpartition(".")[2] in {"AIMessage", "BaseMessage"}


_TOOL_CALL = "a tool call and no text: annotate the argument of parse as AIMessage to vote on the call"


def _next_state(vote: Any) -> str:
    return canonical(vote["next_state"]) if isinstance(vote, dict) and "next_state" in vote else ""


def _checked(flag: object) -> RedFlag | None:
    if flag is None or isinstance(flag, RedFlag):
        return flag
    raise TypeError(f"a rule or validate returned {excerpt(flag)}: what it returns is a RedFlag or None")


def _flagged(flag: RedFlag) -> Verdict:
    return {"flag": {"reason": shortened(flag.reason, 80), "detail": shortened(flag.detail)}}


def _kept(vote: Any) -> Any:
    """Return the vote as it is kept.

    Raises:
        TypeError: For one that JSON has no form for.
        RedFlag: For one that cannot be kept.
    """
    try:
        try:
            return plain(vote)
        except NotJSONError:
            return plain(json_form(vote))
    except NotJSONError as error:
        raise TypeError(f"parse returned what is not a vote: {error}") from error
    except (ValueError, RecursionError) as error:
        raise RedFlag("malformed", error_text(error)) from error


_AS_KEPT: Final = (dict, list, tuple, set, frozenset, str, int, float, type(None))
"""What `validate` sees as it is kept; an object of a class it sees as that."""
_PLACES: Final = 6
