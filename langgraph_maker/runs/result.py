"""What a run amounts to: while it continues, and when it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from langgraph.store.base import BaseStore

from langgraph_maker import journal
from langgraph_maker.core.errors import JournalError
from langgraph_maker.core.events import Alarm
from langgraph_maker.core.reasons import Reason, ReasonCode
from langgraph_maker.core.state import Usage
from langgraph_maker.nodes.ladder import Question
from langgraph_maker.runs.calibration import Calibration
from langgraph_maker.runs.monitor.guarantee import Outlook
from langgraph_maker.runs.monitor.outlook import refuted

__all__ = ["Progress", "Run"]


@dataclass(frozen=True)
class Run:
    """How a run ended, and what it took.

    Attributes:
        status: "solved", "unresolved" (see `reason`; nothing undecided was guessed), "stopped", or "waiting" for a
            human to answer the `questions`.
        reason: Why, where it is not solved.
        reason_code: The same for programs, see `core.reasons`.
        run_id: The run's name in the journal.
        steps: Steps decided.
        samples: Responses drawn, flagged ones and those of an open ballot included.
        flagged: Of these, how many were discarded for a red flag.
        rounds: Rounds of voting, summed over steps.
        usage: Tokens of all samples, as the model counted them, and what they cost.
        cancelled: Samples issued as a hedge and not waited for; what they cost is not known.
        digest: A fingerprint of what was decided: equal for runs that decided alike.
        final_state: The state handed on by the last decided step.
        votes_per_step: Index i counts the steps decided by i votes.
        undecided_after: Index j counts the steps still undecided after j samples, flagged ones included.
        calibration: That which k="auto" goes by. Its samples and dollars are not among those of the run.
        outlook: How sure the result is, by the ballots, and the alarms that were raised.
        questions: Of a run that waits; `solve(…, run_id=…, answers={id: …})` resumes a `ladder.Form` for each.
        calls: How many calls of chat models this process made by the "short" way (see `models.short_call`), and how
            many by the "ordinary" one, and why.
    """

    status: Literal["solved", "unresolved", "stopped", "waiting"]
    reason: str
    run_id: str
    steps: int
    samples: int
    flagged: int
    rounds: int
    usage: Usage
    cancelled: int
    digest: str
    final_state: Any
    votes_per_step: list[int]
    undecided_after: list[int]
    calibration: Calibration | None = None
    outlook: Outlook | None = None
    questions: Sequence[Question] = ()
    calls: Mapping[str, int] = field(default_factory=dict)
    reason_code: ReasonCode = ""
    store: InitVar[BaseStore | None] = None

    def __post_init__(self, store: BaseStore | None) -> None:
        """Read the run's actions from `store`, which is no field, and stays in its process."""
        vars(self)["store"] = store

    @property
    def guarantee(self) -> str:
        """How sure the result is, in one line, with what that is conditional on (see `Outlook`), or that it is not."""
        if self.outlook is None:
            return "no step is decided yet"
        wrong = refuted(Reason(self.reason_code, self.reason), self.outlook.planned)
        return f"{wrong}{self.outlook.besides}" if wrong else self.outlook.guarantee

    def actions(self) -> Iterator[Any]:
        """Return the voted action of each decided step, in order, read from the journal.

        Of a run with lanes that has not ended, these are the steps before the first that is not decided.

        Raises:
            JournalError: For a copy of a `Run` that has left its process: read the store itself there.
        """
        store: BaseStore | None = vars(self).get("store")
        if store is None:
            raise JournalError(f"this copy of the Run has no store: use journal.read(store, {self.run_id!r})")
        return (entry["vote"]["action"] for entry in journal.read(store, self.run_id))

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True)
class Progress:
    """How a run stands. Of its `steps`, `earlier` were decided before this call, which began `seconds` ago.

    `lanes` counts the lanes that are not at their end, `undecided` the ballots that go into a further round. Before a
    run with k="auto" it is `calibrating`, and `samples` are those of the calibration, until that is there. `alarms` are
    all that were raised so far.
    """

    run_id: str
    steps: int
    earlier: int
    total_steps: int | None
    samples: int
    flagged: int
    lanes: int
    undecided: int
    seconds: float
    calibrating: bool = False
    calibration: Calibration | None = None
    alarms: tuple[Alarm, ...] = ()
    later: InitVar[Callable[[], Outlook] | None] = None

    def __post_init__(self, later: Callable[[], Outlook] | None) -> None:
        """Work the outlook out by `later`, which is no field."""
        vars(self)["later"] = later

    @cached_property
    def outlook(self) -> Outlook | None:
        """How sure the run is and what it will take, worked out when it is first read; None while calibrating."""
        later: Callable[[], Outlook] | None = vars(self)["later"]
        return later and later()
