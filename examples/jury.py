"""A jury of several models on one question, and how many independent votes it is worth. All answers are simulated.

Each question asks every juror in turn (`Tier(model=[…])`). How much they err together is seen on questions whose
answers are known: with a mean correlation r between errors, n jurors are worth n / (1 + (n - 1) r) votes.
"""

from collections.abc import Sequence

import numpy as np
from langchain_core.messages import AIMessage

from langgraph_maker import create_voting_graph
from langgraph_maker.core.state import Request
from langgraph_maker.ladder import Tier
from langgraph_maker.matchers import Pairwise

rng = np.random.default_rng(5)
hard = rng.random(400) < 0.2  # questions on which all jurors err more often
errs = rng.random((3, 400)) < np.where(hard, 0.6, 0.08)
correlation = np.corrcoef(errs.astype(float))[np.triu_indices(3, 1)].mean()
worth = 3 / (1 + 2 * correlation)


class Juror:
    """A model with a wording of its own."""

    def __init__(self, wording: str) -> None:
        self.wording = wording

    async def __call__(self, requests: Sequence[Request]) -> list[AIMessage | Exception]:
        """Answer."""
        return [AIMessage(self.wording) for _ in requests]


MEANT = {"Paris.": [1.0, 0.0], "It is Paris": [0.98, 0.2], "Lyon": [0.0, 1.0]}  # what an embedding model would say
embedded: dict[str, np.ndarray] = {}  # each wording is embedded once, so n wordings cost n calls and not n²


def alike(one: str, other: str) -> bool:
    """Whether two wordings mean the same: their embeddings point the same way."""
    vectors = [embedded.setdefault(text, np.array(MEANT[text]) / np.linalg.norm(MEANT[text])) for text in (one, other)]
    return bool(vectors[0] @ vectors[1] > 0.9)


jurors = [Juror("Paris."), Juror("It is Paris"), Juror("Lyon")]
jury = create_voting_graph(
    jurors[0], prompt=str, parse=str, key=Pairwise(alike), ladder=[Tier(model=jurors)], k=2
).compile()

if __name__ == "__main__":
    print(f"three jurors are worth {worth:.1f} votes that err independently (r = {correlation:.2f}, simulated)")
    [decision] = jury.invoke({"subtasks": [{"id": "capital", "state": "The capital of France?"}]})["decisions"]
    counts = [count["count"] for count in decision["counts"]]
    print(f"the jury says {decision['vote']} by {counts}, {len(embedded)} wordings embedded")
