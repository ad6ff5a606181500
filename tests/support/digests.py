"""Digests of runs without an error."""

from __future__ import annotations

from hashlib import blake2b

from langgraph_maker.tasks import TowersOfHanoi


def right_digest(disks: int) -> str:
    """The digest of a run that decides every step as the oracle does, from its definition."""
    task, total = TowersOfHanoi(disks), 0
    state = task.initial_state()
    for step in range(task.steps or 0):
        vote = task.oracle(state)
        total += int.from_bytes(blake2b(f"{step}:{task.vote_key(vote)}".encode(), digest_size=16).digest())
        state = task.advance(state, vote)
    return f"{total % 2**128:032x}"
