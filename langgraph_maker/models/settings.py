"""What a call carries of our own settings, and what a provider refuses of that."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from langgraph_maker.models.error_reading import Reading, causes, read, reason
from langgraph_maker.models.failures import failure

__all__ = ["NAMES", "STREAM_FALSE", "STREAM_TRUE", "Settings"]

logger = logging.getLogger(__name__)

STREAM_FALSE: Final = "stream=False"
"""That an answer is asked for as a whole, and not as a stream: a setting of ours like any other."""
STREAM_TRUE: Final = "stream=True"
"""That it is asked for as a stream, as the model's user has it."""

NAMES: Final[Mapping[str, frozenset[str]]] = {
    "n": frozenset({"n"}),
    "max_tokens": frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"}),
    "temperature": frozenset({"temperature"}),
    STREAM_FALSE: frozenset({"stream"}),
    STREAM_TRUE: frozenset({"stream"}),
}
"""Our settings with what they are called, those first that are cheapest to do without."""


class Settings:
    """What a model's provider takes of our settings: learned from what it says, by trial where words fail.

    What is `left_out` is so for good. A provider's own words only say what to try first: a setting is left out once a
    call without it succeeds, or is refused for another of them. Where no words say which, a call goes without all that
    it may be, so that an error about something else costs one further call; where that helps, they are `doubted`, and
    later calls carry them again one by one, until each was taken or refused.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.left_out: set[str] = set()
        self.refused: set[str] = set()  # those of them that a provider refused
        self.taken: set[str] = set()  # what a call that succeeded has carried
        self.doubted: list[str] = []
        self._in_vain: dict[str, list[frozenset[str]]] = {}  # what was tried without, by what errors said
        self._once: set[str] = set()

    @property
    def omitted(self) -> frozenset[str]:
        """What the next call goes without: what is left out, and what is doubted, but for one."""
        return frozenset(self.left_out.union(self.doubted[:-1]))

    def trials(self, error: Exception, omitted: frozenset[str], carried: AbstractSet[str]) -> list[frozenset[str]]:
        """Return what to go without, in this order, where a call without the `omitted` that `carried` others failed.

        A refusal of the request (400, 422, …) may be about any of them, one of the server (500) about what it never
        took, at the second time, and one of the client about that too. A stream is tried last, and only where no whole
        answer ever came. Nothing is tried twice for one reason.
        """
        said, problem = read(error), failure(error)
        named = [frozenset({name}) for name in NAMES if name in carried and _named(name, error, said)]
        new, suspected = frozenset(carried - self.taken - _STREAMS), list[frozenset[str]]()
        whole = frozenset((carried - self.taken) & _STREAMS)
        if problem.flag is not None:  # a response; or a prompt, unless a setting is named beside it, such as the limit
            beside = [frozenset({name}) for name in NAMES if name in carried and _WORDS[name].search(said.text)]
            suspected = beside if problem.flag.reason == "refusal" else []
        elif said.status in _REFUSALS:
            others = [new, frozenset(carried - _STREAMS), whole]
            certain = problem.kind == "permanent" and not problem.of_prompt  # such as a bill
            suspected = [*named, *others] if named or not (certain or _elsewhere(error)) else []
        elif named and (said.status is None or said.status in _FAILURES | _NO_SUCH):
            suspected = [*named, frozenset().union(*named)]
        elif said.status in _FAILURES or (
            problem.kind != "transient" and said.status is None and said.kinds & _INVALID
        ):
            suspected = [] if said.status is not None and self._first_time(said) else [new, whole]
        trials = [omitted | names for names in suspected if names]
        if trials and (again := carried & {*self.doubted[-1:]}):  # then the others need not be it
            trials = [frozenset(self.left_out | again), omitted | again, *trials]
        in_vain = self._in_vain.get(_plain(said), ())
        return [one for one in dict.fromkeys(trials) if not any(one <= tried for tried in in_vain)]

    def moves_on(self, refused: Exception, error: Exception, others: AbstractSet[str]) -> bool:
        """Return whether a call without the setting that was `refused` failed over another one, of the `others`.

        Or over anything else, where it was the client that refused: this one has got further.
        """
        said, before = read(error), read(refused)
        if _plain(before) == _plain(said):
            return False
        if not failure(refused).reached:
            return True
        return failure(error).kind != "transient" and any(_named(name, error, said) for name in others)

    def took(self, carried: AbstractSet[str]) -> None:
        """Note what a call that succeeded has carried."""
        self.taken |= carried
        self.doubted = [name for name in self.doubted if name not in carried]

    def went_without(self, names: AbstractSet[str], error: Exception) -> None:
        """Note that a call got further without these: leave one out for good and say so; doubt several."""
        new = names - self.left_out
        if len(new) == 1:
            self.left_out |= new
            self.refused |= new
            logger.warning("%s does not take %s: left out from here on (%s)", self.model, *new, reason(error))
        self.doubted = [name for name in NAMES if name in {*new, *self.doubted} - self.left_out]

    def tried_in_vain(self, error: Exception, omitted: frozenset[str]) -> None:
        """Remember that a call without these met the same error."""
        self._in_vain.setdefault(_plain(read(error)), []).append(omitted)

    def _first_time(self, said: Reading) -> bool:
        seen = (plain := _plain(said)) in self._once
        self._once.add(plain)
        return not seen


def _named(name: str, error: Exception, said: Reading) -> bool:
    """Return whether an error names a setting."""
    params = _params(error)
    return any(param in NAMES[name] for param in params) if params else _WORDS[name].search(said.text) is not None


def _elsewhere(error: Exception) -> bool:
    """Return whether an error names a part of the request that is none of our settings."""
    return any(re.split(r"\W", param)[0] in _OTHERS for param in _params(error))


def _params(error: Exception) -> list[str]:
    return [param for cause in causes(error) if isinstance(param := getattr(cause, "param", None), str)]


def _plain(said: Reading) -> str:
    """Return what an error says, without the numbers and ids of this call."""
    return re.sub(r"\b\w*\d\w*\b", "", " ".join(said.messages) or said.text)[:500]


_STREAMS: Final = frozenset({STREAM_FALSE, STREAM_TRUE})
_REFUSALS: Final = frozenset({400, 405, 406, 411, 413, 415, 422})
_FAILURES: Final = frozenset({500, 501})
_NO_SUCH: Final = frozenset({403, 404})
_OTHERS: Final = frozenset({"messages", "model", "input", "prompt", "tools", "tool_choice", "response_format"})
_INVALID: Final = frozenset(
    {"ValidationError", "ParamValidationError", "UnsupportedParamsError", "ModelInvalidRequestError"}
)
_WORDS: Final[Mapping[str, re.Pattern[str]]] = {
    "n": re.compile(
        r"""['"`]n['"`]|(^|\s)n$|\bn (value|must|is|=|>|>=|should|does|cannot|can)"""
        r"|(value|parameter|argument|field|for|of):? n\b|candidate_?count"
        r"|(multiple|several|one|1) (completion )?(candidate|completion|choice|generation)s?\b",
        re.MULTILINE,
    ),
    "max_tokens": re.compile(r"max_?(completion_?|output_?|new_?)?tokens|num_predict|in the completion"),
    "temperature": re.compile(r"temperature"),
    STREAM_FALSE: re.compile(r"\bstream"),
    STREAM_TRUE: re.compile(r"\bstream"),
}
