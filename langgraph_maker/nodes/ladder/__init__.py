"""What to do about a ballot that does not converge, and about one that converges on an error that repeats.

A ladder is a list of `Tier`s, each a way to ask: other prompts, other models, another temperature, a larger margin. A
ballot begins in the first and escalates when it cannot converge; `Split` does its subtask in sub-steps, and on top may
stand `AskHuman`. An `Audit` gives a share of the steps a second vote under another prompt or model before they count as
done.

    >>> from langgraph_maker import solve
    >>> from langgraph_maker.tasks import TowersOfHanoi
    >>> solve(TowersOfHanoi(3), "sim:error=0.01", ladder=[Tier(), Tier(k=5, temperature=0.8)]).status
    'solved'
"""

from __future__ import annotations

from langgraph_maker.core.questions import Form, Question
from langgraph_maker.nodes.ladder.audit import Audit
from langgraph_maker.nodes.ladder.build import LadderLike, read_ladder
from langgraph_maker.nodes.ladder.human import AskHuman
from langgraph_maker.nodes.ladder.kind import Absorbed, Judging, Setting, TierError, TierKind, TierOption, TierTerms
from langgraph_maker.nodes.ladder.ladder import Ladder
from langgraph_maker.nodes.ladder.plain import Tier
from langgraph_maker.nodes.ladder.split import Split

__all__ = [
    "Absorbed",
    "AskHuman",
    "Audit",
    "Form",
    "Judging",
    "Ladder",
    "LadderLike",
    "Question",
    "Setting",
    "Split",
    "Tier",
    "TierError",
    "TierKind",
    "TierOption",
    "TierTerms",
    "read_ladder",
]
