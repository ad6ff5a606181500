"""`guard`: turn each raw response into a vote or a red flag."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter, signature
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from langgraph_maker import prices
from langgraph_maker.ballot import Key, canonical, check_key, key_function, key_of, plain
from langgraph_maker.errors import NotJSONError
from langgraph_maker.ladder.climbing import Ladder
from langgraph_maker.ladder.splitting import Splitting, in_words
from langgraph_maker.nodes.node import Node
from langgraph_maker.nodes.state import VotingState
from langgraph_maker.prices import Price
from langgraph_maker.red_flags import AnyOf, RedFlag, Rule, RuleLike, TokenLimit, Truncated
from langgraph_maker.state import BallotState, Usage, Verdict, total_usage
from langgraph_maker.task import Task

__all__ = ["DEFAULT_RED_FLAGS", "Parse", "default_red_flags", "guard_node", "reader", "validating"]

Parse = Callable[[Any], Any]
"""ψ: from a response's text, or from the whole `AIMessage`, to a vote."""

DEFAULT_RED_FLAGS = TokenLimit(750) | Truncated()
"""The paper's cap of 750 output tokens (section 4.3), and responses that were cut off."""


def default_red_flags(steps: int) -> Rule:
    """`DEFAULT_RED_FLAGS` of a response with so many steps: it may be so many times as long."""
    return TokenLimit(750 * steps) | Truncated()


def guard_node(
    *,
    parse: Parse,
    key: Key = canonical,
    validate: Callable[[Any, Any], RedFlag | None] | None = None,
    red_flags: RuleLike | None = DEFAULT_RED_FLAGS,
    price: Price | None = None,
    compares: bool = True,
    splitting: Splitting | None = None,
    finer_red_flags: RuleLike | None = None,
) -> Node:
    """Judge every response of the round: flagged ones are counted and discarded, never repaired.

    A `RedFlag` that `parse`, `validate` or a rule raises or returns, or that `key` raises, is data. So is a
    `ValueError` of `parse` or `validate` (JSON and validation errors among them) and a text nested too deeply for them:
    reason "malformed", and a vote that cannot be kept (see `ballot.plain`), such as one with an integer beyond 64 bits.
    Any other exception is a bug there and surfaces, any but a `RedFlag` of `key` and a vote of a type that is not JSON
    among them.

    Args:
        parse: ψ, from a response's text to a vote, any JSON value. One whose argument is annotated `AIMessage` gets
            the whole message, so that a tool call can be a vote.
        key: Which votes are equal: those with equal keys, or as a relation of `matchers` has it.
        validate: From a subtask's state and a vote to a flag, or None.
        red_flags: A rule on the response as it came; None for no rule.
        price: What the tokens cost; None for the list price of the model that a response names.
        compares: Whether to note which of a ballot's first answers are the same text (or, where the first two votes
            differ, which of them the third is equal to), as an alarm asks: only where one prompt asks for all.
        splitting: Knows the tasks of finer chains, which their steps' responses are judged by.
        finer_red_flags: The rules for these, where they are others than `red_flags`.

    Raises:
        TypeError: For a `parse` or `key` that is none.
    """
    if not callable(parse):
        raise TypeError(f"parse is a function from a response's text, or from the message, to a vote, not {parse!r}")
    check_key(key)
    rules = red_flags if red_flags is not None else AnyOf()
    role = _Guard(parse, _takes_message(parse), key, validate, rules, price, compares, splitting, finer_red_flags)
    return Node("guard", role.guard)


def reader(
    *,
    parse: Parse,
    key: Key = canonical,
    validate: Callable[[Any, Any], RedFlag | None] | None = None,
    red_flags: RuleLike | None = None,
    render: Callable[[Any], str] = json.dumps,
) -> Callable[[Any, Any], Verdict]:
    """From a human's answer and a subtask's state to a vote or a flag, by the same way as a response.

    An answer that is no text is worded by `render` first. Whatever fails is a flag here, so that it is asked again.
    """
    rules = red_flags if red_flags is not None else AnyOf()
    guard = _Guard(parse, _takes_message(parse), key, validate, rules, None, compares=False)

    def read(answer: Any, state: Any) -> Verdict:
        try:
            text = answer if isinstance(answer, str) else render(answer)
            message = AIMessage(text)
            if flag := guard.flag(message, text):
                return _flagged(flag)
            return guard.read(message if guard.whole else text, state, key_function(key, {}))
        except Exception as error:  # noqa: BLE001 - a task is not written for what a human may say
            return _flagged(RedFlag("malformed", f"{type(error).__name__}: {error}"))

    return read


def validating(task: Task) -> Callable[[Any, Any], RedFlag | None]:
    """What `task.validate` says of a vote; one that the task cannot be moved on by is flagged before it is counted."""

    def validate(state: Any, vote: Any) -> RedFlag | None:
        if (flag := task.validate(state, vote)) is None:
            try:
                task.advance(state, vote)
            except (RedFlag, ValueError):
                raise
            except Exception:  # noqa: BLE001 - a bug, which surfaces once what was paid for is counted
                return None
        return flag

    return validate


@dataclass(frozen=True)
class _Guard:
    parse: Parse
    whole: bool
    key: Key
    validate: Callable[[Any, Any], RedFlag | None] | None
    rules: RuleLike
    price: Price | None
    compares: bool
    splitting: Splitting | None = None
    finer: RuleLike | None = None

    def guard(self, state: VotingState, _: RunnableConfig) -> dict[str, Any]:
        return {
            "ballots": [self.judged(ballot) if ballot["responses"] else ballot for ballot in state["ballots"]],
        }

    def judged(self, ballot: BallotState) -> BallotState:
        """As `judge` has it: by the finer chain of the ballot, while it has one. It is given up where that fails."""
        if "finer" not in ballot or self.splitting is None:
            return self.judge(ballot)
        try:
            chain = self.splitting.chain(ballot)
            whole = _takes_message(chain.parse)
            role = replace(
                self,
                parse=chain.parse,
                whole=whole,
                key=chain.vote_key,
                validate=validating(chain),
                rules=self.rules if self.finer is None else self.finer,
            )
            return role.judge(ballot)
        except Exception as error:  # noqa: BLE001 - what is paid for is counted, and the subtask climbs
            return {
                **ballot,
                "usage": total_usage([ballot["usage"], *map(self.used, ballot["responses"])]),
                "verdicts": [{} for _ in ballot["responses"]],
                "responses": [],
                "status": "unresolved",
                "climb": Ladder.place(ballot, f"its answers cannot be judged: {in_words(error)}"),
            }

    def judge(self, ballot: BallotState) -> BallotState:
        state, used = ballot["finer"]["state"] if "finer" in ballot else ballot["state"], [ballot["usage"]]
        seen: dict[str, Verdict] = {}  # answers agree more often than not
        known = {**ballot.get("known", {})}
        key = key_function(self.key, known)
        verdicts: list[Verdict] = []
        late = _late(ballot)
        for at, response in enumerate(ballot["responses"]):
            used.append(self.used(response))
            if at in late:
                verdicts.append({})
                continue
            text = response.text
            if flag := self.flag(response, text):
                verdicts.append(_flagged(flag))
                continue
            if self.whole:
                verdicts.append(self.read(response, state, key))
                continue
            if text not in seen:
                seen[text] = self.read(text, state, key)
            verdicts.append(seen[text])
        judged: BallotState = {**ballot, "usage": total_usage(used), "verdicts": verdicts, "responses": []}
        if self.compares and len(seen) > 1 and not ballot.get("samples", 1):
            judged["alike"] = _alike(ballot)
        elif self.compares and ballot.get("samples") == len(ballot.get("counts", ())) == _COMPARED - 1 and verdicts:
            judged["alike"] = _third(ballot, verdicts[ballot["numbers"].index(min(ballot["numbers"]))])
        if known:
            judged["known"] = known
        return judged

    def used(self, response: AIMessage) -> Usage:
        said: Mapping[str, Any] = response.usage_metadata or {}
        usage: Usage = {
            "input_tokens": said.get("input_tokens") or 0,
            "cached_input_tokens": (said.get("input_token_details") or {}).get("cache_read") or 0,
            "output_tokens": said.get("output_tokens") or 0,
            "cost": None,
        }
        price = self.price or prices.of(response.response_metadata.get("model_name") or "")
        if price is not None:
            usage["cost"] = price.cost(usage)
        return usage

    def flag(self, response: AIMessage, text: str) -> RedFlag | None:
        try:
            flag = _checked(self.rules(response))
        except RedFlag as raised:
            flag = raised
        if flag is None and not text.strip() and not (self.whole and response.tool_calls):
            return RedFlag("empty", _TOOL_CALL if response.tool_calls else "no text in the response")
        return flag

    def read(self, answer: Any, state: Any, key: Callable[[Any], str]) -> Verdict:
        try:
            vote = self.parse(answer)
            if flag := vote if isinstance(vote, RedFlag) else self.validate and _checked(self.validate(state, vote)):
                return _flagged(flag)
            kept = plain(vote)
        except RedFlag as flag:
            return _flagged(flag)
        except NotJSONError as error:
            raise TypeError(f"parse returned what is no vote: {error}") from error
        except (ValueError, RecursionError) as error:
            return _flagged(RedFlag("malformed", f"{type(error).__name__}: {error}"))
        try:
            return {"vote": kept, "key": key_of(kept, key)}
        except RedFlag as flag:
            return _flagged(flag)


def _late(ballot: BallotState) -> set[int]:
    """The places of responses that were asked for before the ballot climbed or went on to another finer step."""
    first = ballot["climb"]["first"] if "climb" in ballot else 0
    return {at for at, number in enumerate(ballot["numbers"]) if number < first} if first else set()


_COMPARED = 3


def _alike(ballot: BallotState) -> int:
    """Which two of the first three answers are the same text, see `records.Entry`."""
    texts = dict(zip(ballot["numbers"], ballot["responses"], strict=True))
    if not texts.keys() >= {0, 1, 2}:
        return 0
    first, second, third = (texts[number].text for number in range(_COMPARED))
    return int(second == third != first) - int(first == second != third)


def _third(ballot: BallotState, verdict: Verdict) -> int:
    """Which of two votes that differ the third is equal to, the second (1) or the first (-1): as likely, if by chance.

    Where k is 2 that is all there is to see of answers that repeat.
    """
    keys = list(ballot["counts"])
    return 0 if "key" not in verdict else int(verdict["key"] == keys[1]) - int(verdict["key"] == keys[0])


def _takes_message(parse: Parse) -> bool:
    """Whether the first argument is annotated as a message."""
    try:
        parameters: list[Parameter] = [*signature(parse).parameters.values()]
    except (TypeError, ValueError):  # such as int, or a method of a builtin
        return False
    annotation = parameters[0].annotation if parameters else None
    return getattr(annotation, "__name__", str(annotation)).rpartition(".")[2] in {"AIMessage", "BaseMessage"}


_TOOL_CALL = "a tool call and no text: annotate the argument of parse as AIMessage to vote on the call"


def _checked(flag: object) -> RedFlag | None:
    if flag is None or isinstance(flag, RedFlag):
        return flag
    raise TypeError(f"a rule or validate returned {flag!r}: what it returns is a RedFlag or None")


def _flagged(flag: RedFlag) -> Verdict:
    return {"flag": {"reason": flag.reason, "detail": flag.detail[:200]}}
