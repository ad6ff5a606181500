"""How often, and in which ways, a simulated model errs: the models of MAKER's table, and models of one's own.

    >>> profile, seed = read_spec("sim:gpt-4.1-mini,error=0.01,seed=7")
    >>> profile.name, profile.error, seed
    ('gpt-4.1-mini', 0.01, 7)

The rates published for a model say what a simulation of it should look like. What comes out is simulated, and is
no measurement of that model.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final

from langgraph_maker.core.foreign import excerpt

__all__ = ["PROFILES", "SIMULATED", "Profile", "read_spec"]


SIMULATED: Final = "simulated"
"""The provider that responses of simulated models name."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The behaviour of a simulated model. Every number is a key of a `sim:` string under its name here.

    Args:
        name: What the model is called; models with different names or rates err independently.
        error: Probability that a sample is wrong, given that it is neither confused nor repeated: 1 - p of valid
            samples of ordinary steps.
        flag: Probability that a sample is malformed, on average over the steps; one in four is long as well.
        unevenness: How much `flag` differs from step to step. A step has the rate flag * (1 + unevenness) *
            u**unevenness with u uniform: 0 makes all steps alike.
        hard: Share of hard steps, chosen by the model and the prompt: under another variant of the prompt, or for
            another model, other steps are hard.
        confusion: Probability that a sample on a hard step is confused, given that it is not repeated: half long
            (over 750 tokens), a quarter malformed, a quarter both, and beneath that always the same wrong answer.
        repeats: Probability that a sample on a hard step repeats that wrong answer without a flaw, so that no red
            flag shows it: above 1/2 voting confirms it.
        alternatives: How many different wrong answers a step has, at most: 1 is the worst case, that of Eq 9.
        output_tokens: Mean length of an ordinary answer, in tokens.
        length_spread: Standard deviation of the logarithm of that length.
        input_tokens: Tokens of a prompt.
        input_price: Dollars per million input tokens, None where not published.
        output_price: Dollars per million output tokens, None where not published.

    Raises:
        ValueError: When a number is NaN or outside its range, or `repeats` is given without `hard`.

    Example:
        >>> Profile(error=0.05).single_sample_error
        0.05
        >>> Profile(error=2)
        Traceback (most recent call last):
        ValueError: error is a number from 0 to 1, not 2
    """

    name: str = "simulated"
    error: float = 0.0
    flag: float = 0.0
    unevenness: float = 0.0
    hard: float = 0.0
    confusion: float = 0.5
    repeats: float = 0.0
    alternatives: int = 1
    output_tokens: float = 500
    length_spread: float = 0.08
    input_tokens: int = 600
    input_price: float | None = None
    output_price: float | None = None

    def __post_init__(self) -> None:
        for name in ("error", "flag", "hard", "confusion", "repeats"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a number from 0 to 1, not {getattr(self, name)}")
        for name, least in (("alternatives", 1), ("input_tokens", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} is a whole number of at least {least}, not {excerpt(value)}")
        for name, low, high in (
            ("unevenness", 0, 1e3),
            ("output_tokens", 1, 1e6),
            ("length_spread", 0, 2),
            ("input_price", 0, 1e6),
            ("output_price", 0, 1e6),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} is a number from {low} to {high:g}, not {value}")
        if self.flag * (1 + self.unevenness) > 1:
            raise ValueError(
                f"flag={self.flag} is too large for unevenness={self.unevenness}: flag * (1 + unevenness), the rate"
                " of the worst step, is at most 1"
            )
        if self.repeats and not self.hard:
            raise ValueError(
                f"repeats={self.repeats} is of hard steps, and there are none: give their share, such as hard=0.01"
            )

    @property
    def single_sample_error(self) -> float:
        """1 - p as the paper measures it: the share of wrong samples when all are read, long or malformed.

        Example:
            >>> round(PROFILES["gpt-4.1-mini"].single_sample_error, 4)
            0.0022
        """
        wrong = self.hard * (self.repeats + (1 - self.repeats) * self.confusion)
        return wrong + (1 - wrong) * self.error


PROFILES: Final[dict[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile(
            name="gpt-4.1-nano",
            error=0.3571,
            output_tokens=842,
            length_spread=0.3,
            input_price=0.1,
            output_price=0.4,
        ),
        Profile(
            name="gpt-4.1-mini",
            error=0.0012,
            flag=0.0267,
            unevenness=5.3,
            hard=0.0024,
            confusion=0.43,
            output_tokens=538,
            input_price=0.4,
            output_price=1.6,
        ),
        Profile(
            name="o3-mini",
            error=0.0018,
            output_tokens=535,
            length_spread=0.3,
            input_price=1.1,
            output_price=4.4,
        ),
        Profile(
            name="haiku-4.5",
            error=0.1839,
            output_tokens=588,
            length_spread=0.3,
            input_price=1.0,
            output_price=5.0,
        ),
        Profile(
            name="gpt-oss-20b",
            error=0.0358,
            output_tokens=1104,
            length_spread=0.3,
            input_price=0.05,
            output_price=0.2,
        ),
        Profile(name="llama-3.2-3b", error=1.0, output_tokens=434, length_spread=0.3, output_price=0.06),
    )
}
"""The models of the table in arXiv 2511.09030: 1 - p, mean output tokens and prices as published.

Input prices are those that its projected costs imply. Flags are published for gpt-4.1-mini alone: the others' come
from their length, whose spread is assumed, so raise the token limit for a model that writes more than 750 tokens.

The fit of gpt-4.1-mini rounds the solution of five equations for `error`, `flag`, `unevenness`, `hard` and `confusion`.
Four are exact by the Markov chain of the margin (k = 3; a flag leaves it where it is; averaged over steps): of
2^20 - 1 steps 81,959, 18,461 and 3,807 are undecided after 3, 4 and 5 samples, and 1 after 17. The fifth is
`single_sample_error` = 0.0022. The rounded rates give 82,002, 18,295, 3,842, 0.93 and 0.0022, and 97.2 % valid samples.
A `length_spread` of 0.08 leaves the lengths past 700 tokens to flagged and confused samples: there 1 in 10 is wrong,
against 1 in 700 below (published: about 10 % and 0.1 %).
"""


def read_spec(spec: str) -> tuple[Profile, int | None]:
    """Return the profile and the seed (None if it gives none) that a `sim:` string asks for.

    The string is "sim:", then the name of a profile, or `key=value` settings, or both, separated by commas. The keys
    are the arguments of `Profile` other than `name`, and `seed`, a whole number.

    Raises:
        ValueError: For an unknown name or key, a key given twice, or a value that is not a number or out of its range.

    Example:
        >>> read_spec("sim:error=0.01,flag=0.02,hard=0.001")[0].hard
        0.001
        >>> read_spec("sim:gpt-9")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: 'sim:gpt-9': unknown model 'gpt-9': known are gpt-4.1-nano, gpt-4.1-mini, ...
    """
    first, *rest = [part.strip() for part in spec.removeprefix("sim:").split(",")]
    settings = rest
    profile = Profile()
    if "=" in first:
        settings = [first, *rest]
    elif (known := PROFILES.get(first)) is not None:
        profile = known
    else:
        raise ValueError(
            f"{excerpt(spec)}: unknown model {excerpt(first)}: known are {', '.join(PROFILES)}, or settings"
            " such as error=0.01"
        )
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if key not in _KEYS or not equals:
            raise ValueError(f"{excerpt(spec)}: unknown key {excerpt(key)}: known are {', '.join(_KEYS)}")
        if key in values:
            raise ValueError(f"{excerpt(spec)}: {key} is given twice")
        try:
            values[key] = _KEYS[key](text)
        except ValueError:
            kind = "whole number" if _KEYS[key] is int else "number"
            raise ValueError(f"{excerpt(spec)}: {key} is a {kind}, not {excerpt(text)}") from None
    seed = values.pop("seed", None)
    try:
        return replace(profile, **values), seed
    except ValueError as error:
        raise ValueError(f"{excerpt(spec)}: {error}") from None


_KEYS: Final[dict[str, type[int | float]]] = {
    **{field.name: int if field.type == "int" else float for field in fields(Profile) if field.name != "name"},
    "seed": int,
}
