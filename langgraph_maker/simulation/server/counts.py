"""What a provider counts: requests and how they ended, samples and tokens.

>>> tally = Tally()
>>> tally.request()
1
>>> tally.count("faults", "500")
>>> tally.stats().requests, tally.stats().faults
(1, {'500': 1})
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal

__all__ = ["Stats", "Tally"]


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Counts of requests for completions, at one moment.

    Each request that has ended was answered, refused, faulty or abandoned. Samples and tokens are those of answers
    sent whole: what a client can know of.

    Args:
        requests: How many arrived.
        answered: Whole answers sent.
        samples: Choices in them.
        prompt_tokens: Of them, the prompt counted once an answer.
        cached_tokens: Those of the prompt tokens that were reported as cached.
        completion_tokens: Of all choices.
        abandoned: The client went away, or the server stopped, before the answer.
        refused: Requests that were wrong or too many, by HTTP status.
        faults: Faults by kind, an outage's as "503" or "reset".
    """

    requests: int = 0
    answered: int = 0
    samples: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    abandoned: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)


class Tally:
    """Counts as they come in; any thread may read `stats`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()

    def request(self) -> int:
        """Count a request and return its number, from 1."""
        with self._lock:
            self._counts["requests"] += 1
            return self._counts["requests"]

    def answer(self, body: dict[str, Any]) -> None:
        """Count an answer, as `chat_api.completion` gives it."""
        usage = body["usage"]
        with self._lock:
            self._counts.update(
                answered=1,
                samples=len(body["choices"]),
                prompt_tokens=usage["prompt_tokens"],
                cached_tokens=usage["prompt_tokens_details"]["cached_tokens"],
                completion_tokens=usage["completion_tokens"],
            )

    def abandon(self) -> None:
        """Count a request that ended without anyone to answer."""
        with self._lock:
            self._counts["abandoned"] += 1

    def count(self, what: Literal["refused", "faults"], kind: str) -> None:
        """Count a request that was refused with status `kind`, or met a fault of this kind."""
        with self._lock:
            (self._refused if what == "refused" else self._faults)[kind] += 1

    def stats(self) -> Stats:
        """Return what was counted so far."""
        with self._lock:
            counts: dict[str, Any] = dict(self._counts)
            return Stats(**counts, refused=dict(self._refused), faults=dict(self._faults))
