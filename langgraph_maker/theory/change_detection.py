"""Has a rate risen? A test that may look after every round, and is wrong in at most a stated share of all runs."""

from __future__ import annotations

from collections.abc import Mapping
from math import e, exp, log, log1p
from typing import Any

__all__ = ["Rising", "above"]


class Rising:
    """Tests whether events have become more frequent than `null` at some time during a run (e-detector).

    For each of a few larger rates and each time at which it may have started, a bettor stakes a share of one unit and
    multiplies it by the likelihood ratio of what comes. The shares add up to 1, so as long as the rate is at most
    `null` their sum reaches 1/alpha with a probability of at most alpha (Ville), however often one looks.

    Trials that had started before a bettor did, and end after, are no sample of all: `see` is given them, and each
    bettor pays for them first.

    Args:
        alpha: Probability of a false alarm in a whole run.
        odds: By which factors the odds of an event may have risen.
        always: Whether the rate, if it is too high, was so from the beginning: then all is staked there.

    Example:
        >>> test = Rising(alpha=0.001)
        >>> [test.see(10, events, null=0.02) for events in (0, 1, 0, 3, 4)]
        [False, False, False, False, True]
        >>> test.trials_since, test.events_since
        (20, 7)
    """

    def __init__(self, alpha: float, odds: tuple[float, ...] = (1.5, 2.0, 4.0, 16.0), *, always: bool = False) -> None:
        self.alpha = alpha
        self.odds = odds
        self.always = always
        self.rounds = 0
        self.under_way = (0, 0)
        self.stakes = [float("-inf")] * len(odds)
        self.courses = [0.0] * len(odds)
        self.since = [(0, 0)] * len(odds)

    def see(self, trials: int, events: int, null: float, *, waiting: int = 0, owed: int = 0) -> bool:
        """Count a round, and return whether the alarm is due. A `null` of 0 or 1 says nothing.

        Args:
            trials: Those of the round.
            events: Events among all trials so far that were not counted before.
            null: The most that the rate may be.
            waiting: Trials counted by now that may yet become events, at most as likely as others.
            owed: Trials that are likelier to do so: those who begin now pay for each as if it did.
        """
        before, some = self.under_way, trials or events
        if some or self.rounds or not 0 < null < 1:  # what was started before all others is theirs too
            self.under_way = waiting, owed
        if not some or not 0 < null < 1:
            return False
        begins = log(1 / log(self.rounds + e) - 1 / log(self.rounds + 1 + e))
        if self.always:
            begins = float("-inf") if self.rounds else 0.0
        self.rounds += 1
        for place, odds in enumerate(self.odds):
            rate = odds * null / (1 - null + odds * null)
            event, none = log(rate / null), log1p(-rate) - log1p(-null)
            ratio, paid = events * event + (trials - events) * none, before[0] * none - before[1] * event
            self.stakes[place] = _log_sum(self.stakes[place], begins + paid) + ratio
            if self.courses[place] <= paid:
                self.courses[place], self.since[place] = paid, (before[0], 0)
            self.courses[place] += ratio
            since = self.since[place]
            self.since[place] = (since[0] + trials, since[1] + events)
        most = max(self.stakes)
        total = most + log(sum(exp(stake - most) for stake in self.stakes) / len(self.odds))
        return total >= -log(self.alpha)

    def state_dict(self) -> dict[str, Any]:
        """Return how the test stands, as plain values."""
        return {
            "rounds": self.rounds,
            "stakes": self.stakes,
            "courses": self.courses,
            "since": self.since,
            "under_way": self.under_way,
        }

    def load_state(self, kept: Mapping[str, Any]) -> None:
        """Take up a test where it stood."""
        self.rounds, self.stakes, self.courses = kept["rounds"], list(kept["stakes"]), list(kept["courses"])
        self.since = [(trials, events) for trials, events in kept["since"]]
        self.under_way = (kept["under_way"][0], kept["under_way"][1])

    @property
    def trials_since(self) -> int:
        """Trials since the rate most likely began to be too high."""
        return self.likeliest[0]

    @property
    def events_since(self) -> int:
        """Events among them."""
        return self.likeliest[1]

    @property
    def likeliest(self) -> tuple[int, int]:
        """Both, by the rate that fits best (CUSUM)."""
        return self.since[max(range(len(self.odds)), key=self.courses.__getitem__)]


def _log_sum(one: float, other: float) -> float:
    most, least = max(one, other), min(one, other)
    return most if least == float("-inf") else most + log1p(exp(least - most))


def above(total: float, variance: float, alpha: float, scale: float) -> bool:
    """Return whether a sum of deviations, of mean 0 or less, has left the bounds that hold at all times at once.

    The normal mixture of Robbins: sqrt((V + s) ln((V + s) / (s alpha^2))), narrowest, relative to its size, where the
    `variance` V of the sum is about the `scale` s.

    Example:
        >>> above(30, 50, 0.001, 50), above(45, 50, 0.001, 50)
        (False, True)
    """
    spread = variance + scale
    return total > 0 and total * total > spread * log(spread / (scale * alpha * alpha))
