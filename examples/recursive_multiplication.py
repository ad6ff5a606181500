"""Products of six-digit numbers by a simulated model: asked at once, and split until each step is small.

The model is right in one answer of ten to a whole product, and in 97 of 100 small steps. Nobody tells it how to split.
"""

import random
import sys
from collections import Counter

from langgraph_maker import create_recursive_maker, create_voting_graph
from langgraph_maker.core.state import Subtask
from langgraph_maker.prebuilt.recursive import Stages
from langgraph_maker.prebuilt.recursive.multiplication import simulated_multiplication

K = 3
STAGES = Stages()


def compare(products: int, seed: int = 1) -> tuple[Counter[str], Counter[str]]:
    """Right answers and samples, of a vote on the product and of the recursive maker, over so many products."""
    numbers = random.Random(seed)  # noqa: S311 - any numbers will do
    direct: Counter[str] = Counter()
    recursive: Counter[str] = Counter()
    for number in range(products):
        a, b = numbers.randrange(10**5, 10**6), numbers.randrange(10**5, 10**6)
        problem, right = f"{a} * {b}", str(a * b)
        model = simulated_multiplication(direct=0.10, small=0.97, seed=number)

        vote = create_voting_graph(model, prompt=STAGES.ask, parse=lambda text: STAGES.read("solve", text), k=K)
        subtask: Subtask = {"id": "product", "state": {"stage": "solve", "problem": problem}}
        [decision] = vote.compile().invoke({"subtasks": [subtask]})["decisions"]
        direct["samples"] += decision["samples"]
        direct["right"] += decision["vote"] == {"answer": right}

        result = create_recursive_maker(model, k=K).compile().invoke({"problem": problem})
        recursive.update(result["samples"])
        recursive["samples"] += sum(result["samples"].values())
        recursive["right"] += result["answer"] == right
    return direct, recursive


if __name__ == "__main__":
    of = int(sys.argv[1]) if sys.argv[1:] else 20
    asked_at_once, split = compare(of)
    print(f"{of} products of 6 × 6 digits, a simulated model, k = {K}")
    print(f"  a vote on the whole product: {asked_at_once['right']:3} right, {asked_at_once['samples']:6,} samples")
    print(f"  the recursive maker:         {split['right']:3} right, {split['samples']:6,} samples")
    for stage in ("atomic", "propose", "choose", "solve", "compose", "check"):
        print(f"      {stage:7} {split[stage]:6,}")
