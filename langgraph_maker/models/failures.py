"""What a failed call means, by the table of what the clients of all providers say.

A failure is neither a vote nor a flag, but for those that are a response's own fault: one that was cut off or cannot
be read, or a prompt that is refused. These come as errors from some providers, and are flags like any other.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.models.error_reading import read, reason
from langgraph_maker.models.error_table import FLAGS, TABLE, THROTTLED

__all__ = ["Failure", "failure"]


class Failure(NamedTuple):
    """What a failed call means.

    `kind` is "transient" where waiting may help, "permanent" where it cannot, "flag" where the response that it was to
    bring is flagged, "unknown" else; `wait` the seconds that the provider asks to be left alone; `busy` whether it said
    that there are too many calls; `reached` whether it said anything; `of_prompt` whether what is permanent may be
    about this prompt alone, as is seen by whether the provider takes others; `flag` the red flag.
    """

    kind: Literal["transient", "permanent", "flag", "unknown"]
    wait: float = 0.0
    busy: bool = False
    reached: bool = False
    of_prompt: bool = False
    flag: RedFlag | None = None


def failure(error: BaseException) -> Failure:
    """Return what a failed call means, by all that `error` and what caused it carry.

    Example:
        >>> failure(TimeoutError()).kind, failure(PermissionError()).kind, failure(ValueError("?")).kind
        ('transient', 'permanent', 'unknown')
        >>> failure(ValueError({"message": "Provider returned error", "code": 429})).kind
        'transient'
    """
    said = read(error)
    reached = said.status is not None or bool(said.codes)
    means = next((sign.means for sign in TABLE if sign.fits(said)), None)
    if means in FLAGS:
        return Failure("flag", reached=reached, flag=RedFlag(means, reason(error)))
    if means == "transient":
        busy = said.status in _FULL or bool(said.codes & THROTTLED)
        return Failure("transient", said.wait, busy, reached)
    if means is not None:
        return Failure("permanent", said.wait, reached=reached, of_prompt=means == "prompt")
    if said.unreadable:
        return Failure("flag", reached=True, flag=RedFlag("malformed", f"the client cannot read it: {reason(error)}"))
    return Failure("permanent") if said.own & _BUGS else Failure("unknown", reached=reached)


_FULL: Final = frozenset({429, 529})
_BUGS: Final = frozenset({"TypeError", "AttributeError", "NameError", "AssertionError", "ImportError", "RuntimeError"})
