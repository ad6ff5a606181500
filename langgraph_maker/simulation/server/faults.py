"""Faults of a simulated provider: which request meets which one, by probability, by its number or by time.

    >>> faults = Faults.parse("429=0.1", "500@100-150", "outage@5+20")
    >>> faults.meets(number=120, seconds=3.0, draw=0.5)
    '500'

The kinds of faults, and what a client meets:

| kind | what a client meets |
|---|---|
| 429 | a rate limit, with Retry-After |
| 500, 502, 503 | a server error (502 as an HTML page, as gateways send it) |
| 400 | a prompt refused for its content |
| 401, 403, 404 | a wrong key, a model without access, a model that does not exist |
| reset | a connection reset before any byte of an answer (TCP RST) |
| truncated | status 200 and half of the JSON; Content-Length says half, too |
| cut | status 200 and half of the JSON; Content-Length says all of it, and the connection is closed |
| html | status 200 and an HTML page |
| empty, null | status 200, `"choices": []` or `"choices": null`, no usage |
| unavailable | 429 "resource unavailable", where the flex tier is asked for; other requests are answered |
| timeout | nothing, until the client gives up or the server stops |
| outage | 503 and reset in turn |
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

__all__ = ["KINDS", "Faults", "TokenBucket"]

KINDS: Final = (
    *("400", "401", "403", "404", "429", "500", "502", "503"),
    *("reset", "truncated", "cut", "html", "empty", "null", "timeout", "outage", "unavailable"),
)
"""The kinds of faults, see the module's table."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Which requests meet a fault. What is given by time goes before what is given by number, then come the rates.

    Args:
        rates: Probability of each kind; together at most 1.
        numbers: Kind, first and last number of the requests that meet it; the first request is number 1.
        times: Kind, begin and length in seconds, counted from the first request.
        retry_after: Seconds that the fault "429" asks clients to wait.

    Raises:
        ValueError: For an unknown kind, or a number out of its range.

    Example:
        >>> faults = Faults(rates={"429": 0.1, "500": 0.05})
        >>> [faults.meets(number=1, seconds=0.0, draw=draw) for draw in (0.09, 0.14, 0.16)]
        ['429', '500', None]
    """

    kinds: ClassVar[Sequence[str]] = KINDS

    rates: Mapping[str, float] = field(default_factory=dict)
    numbers: Sequence[tuple[str, int, int]] = ()
    times: Sequence[tuple[str, float, float]] = ()
    retry_after: float = 1.0

    def __post_init__(self) -> None:
        for kind in (*self.rates, *(kind for kind, _, _ in (*self.numbers, *self.times))):
            if kind not in self.kinds:
                raise ValueError(f"no fault is called {kind!r}: known are {', '.join(self.kinds)}")
        wrong = [
            *(f"{kind}={rate:g}" for kind, rate in self.rates.items() if not 0 <= rate <= 1),
            *(f"{kind}@{first}-{last}" for kind, first, last in self.numbers if not 1 <= first <= last),
            *(
                f"{kind}@{begin:g}+{length:g}"
                for kind, begin, length in self.times
                if not (0 <= begin < _FOREVER and 0 < length < _FOREVER)
            ),
        ]
        if wrong:
            raise ValueError(
                f"{wrong[0]} is out of range: rates go from 0 to 1, requests count from 1 and do not run backwards,"
                " times begin at 0 s or later and last"
            )
        if sum(self.rates.values()) > 1 + _ROUNDING:
            raise ValueError(f"the rates add up to {sum(self.rates.values()):g}: lower them to 1 at most")
        if not 0 <= self.retry_after < _FOREVER:
            raise ValueError(f"retry_after is a number of seconds of at least 0, not {self.retry_after}")

    @classmethod
    def parse(cls, *specs: str) -> Self:
        """Read faults as the command line takes them, several in one string separated by commas.

        `KIND=RATE` is a probability, `KIND@FIRST-LAST` (or `KIND@NUMBER`) a range of requests, `KIND@BEGIN+LENGTH` a
        time in seconds from the first request, and `retry_after=SECONDS` what "429" asks for.

        Raises:
            ValueError: For what is none of these, a rate given twice, or what `Faults` refuses.

        Example:
            >>> Faults.parse("429=0.1,retry_after=2", "timeout@7").numbers
            (('timeout', 7, 7),)
            >>> Faults.parse("500:0.1")
            Traceback (most recent call last):
            ValueError: '500:0.1' is no fault: write KIND=RATE, KIND@FIRST-LAST or KIND@BEGIN+LENGTH (seconds)
        """
        rates: dict[str, float] = {}
        numbers: list[tuple[str, int, int]] = []
        times: list[tuple[str, float, float]] = []
        for spec in (part.strip() for text in specs for part in text.split(",")):
            if not spec:
                continue
            if (match := _SPEC.fullmatch(spec)) is None:
                raise ValueError(
                    f"{spec[:80]!r} is no fault: write KIND=RATE, KIND@FIRST-LAST or KIND@BEGIN+LENGTH (seconds)"
                )
            kind, rate, first, last, begin, length = match.groups()
            if rate:
                if kind in rates:
                    raise ValueError(f"the rate of {kind} is given twice")
                rates[kind] = float(rate)
            elif first:
                numbers.append((kind, int(first), int(last or first)))
            else:
                times.append((kind, float(begin), float(length)))
        settings: dict[str, Any] = {"retry_after": rates.pop("retry_after")} if "retry_after" in rates else {}
        return cls(rates=rates, numbers=tuple(numbers), times=tuple(times), **settings)

    def meets(self, *, number: int, seconds: float, draw: float) -> str | None:
        """Return the kind of fault that a request meets, None for none; an outage comes out as "503" or "reset".

        Args:
            number: Of the request, counted from 1.
            seconds: Since the first request.
            draw: Uniform from 0 to below 1.

        Example:
            >>> outage = Faults.parse("outage@5+20")
            >>> [outage.meets(number=n, seconds=s, draw=0.5) for n, s in ((1, 4.9), (2, 5.0), (3, 24.9), (4, 25.0))]
            [None, 'reset', '503', None]
        """
        kind = self._kind(number, seconds, draw)
        return ("reset", "503")[number % 2] if kind == "outage" else kind

    def _kind(self, number: int, seconds: float, draw: float) -> str | None:
        for kind, begin, length in self.times:
            if begin <= seconds < begin + length:
                return kind
        for kind, first, last in self.numbers:
            if first <= number <= last:
                return kind
        for kind, rate in self.rates.items():
            draw -= rate
            if draw < 0:
                return kind
        return None


class TokenBucket:
    """A rate limit: so many requests a second, and as many (at least one) at once after a pause.

    Args:
        rate: Requests a second.

    Example:
        >>> bucket = TokenBucket(rate=2)
        >>> [bucket.take(now) for now in (0.0, 0.0, 0.0, 0.5)]
        [0.0, 0.0, 0.5, 0.0]
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.size = max(1.0, rate)
        self._tokens = self.size
        self._now = 0.0

    def take(self, now: float) -> float:
        """Take a token and return 0, or take none and return the seconds until there is one."""
        self._tokens = min(self.size, self._tokens + (now - self._now) * self.rate)
        self._now = now
        if self._tokens < 1 - _ROUNDING:
            return (1 - self._tokens) / self.rate
        self._tokens -= 1
        return 0.0


_NUMBER: Final = r"(\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})"
_SPEC: Final = re.compile(rf"(\w{{1,20}})(?:={_NUMBER}|@(\d{{1,9}})(?:-(\d{{1,9}}))?|@{_NUMBER}\+{_NUMBER})", re.ASCII)
_ROUNDING: Final = 1e-9
_FOREVER: Final = 1e10
