"""What can go wrong, as exceptions.

    MakerError
    ├── SamplingError     a model call failed for good: the model failed, the votes did not
    ├── CalibrationError  what was measured recommends no k
    ├── UnresolvedError   a voting node raises it when its vote does not converge
    ├── ImpureTaskError   a task's function changed the state that it was given
    ├── UnsolvedError     a maker node raises it when its run does not end as solved
    ├── JournalError      a store does not hold what a run needs, or cannot be written
    │   └── BlockLostError    a block of a run belongs to another worker by now
    └── RunBusyError      another live process is writing this run

Bad arguments are `ValueError` or `TypeError`, `NotTextError` the latter, `NotJSONError` both at once; red flags are
data, not errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph_maker.core.state import Decision

__all__ = [
    "BlockLostError",
    "CalibrationError",
    "ImpureTaskError",
    "JournalError",
    "MakerError",
    "NotJSONError",
    "NotTextError",
    "RunBusyError",
    "SamplingError",
    "UnresolvedError",
    "UnsolvedError",
]


class MakerError(RuntimeError):
    """Base of the package's own exceptions.

    As `RuntimeError`s they are none that LangGraph's default retry policy tries again: model calls were retried
    already, and a vote is not to be held until it comes out.
    """


class NotJSONError(TypeError, ValueError):
    """A vote or a state of a type that JSON has no form for: a bug in what made it."""


class NotTextError(TypeError):
    """A key function that returns something else than a text: all votes, or none, would be equal."""


class ImpureTaskError(MakerError):
    """A function of a task changed the state or the vote that it was given, and with it what other samples are."""


class SamplingError(MakerError):
    """A model call failed, and waiting did not help or could not."""


class CalibrationError(MakerError):
    """A calibration found that voting may not help, so that there is no k to run with."""


class JournalError(MakerError):
    """The journal is incomplete, not of this run, or its store failed for too long."""


class BlockLostError(JournalError):
    """A worker wrote to a block of lanes that is not its own any more: nothing of that was written."""


class RunBusyError(MakerError):
    """Another live writer holds the run; the message says who."""


class UnresolvedError(MakerError):
    """A vote did not converge within its samples.

    `decision` holds the ballot as it stood, and `instead` names the option that takes it otherwise.
    """

    def __init__(self, decision: Decision, why: str, instead: str = 'on_unresolved="write"') -> None:
        super().__init__(decision, why, instead)
        self.decision = decision
        self.why = why
        self.instead = instead

    def __str__(self) -> str:
        mostly_flagged = 2 * self.decision["flagged"] > self.decision["samples"]
        advice = (
            "see whether prompt, parser and red flags agree on what an answer is"
            if mostly_flagged
            else "raise max_samples_per_step, make the step simpler"
        )
        return f"{self.why}: {advice}, or handle it with {self.instead}"


class UnsolvedError(MakerError):
    """A run inside a host's graph did not end as solved. `output` says how it stands."""

    def __init__(self, output: Mapping[str, Any]) -> None:
        super().__init__(output)
        self.output = output

    def __str__(self) -> str:
        return (
            f"run {self.output['run_id']!r} is {self.output['status']} after {self.output['steps']} steps:"
            f' {self.output["reason"]} (on_unresolved="write" hands it to write instead)'
        )
