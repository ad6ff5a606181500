"""The JSON form of Python's own values: equal values have equal forms, in every process.

Sets are sorted, decimals are written without what does not change them, times that know their zone are in UTC, models
are the input that they can be made of again, with what a serializer leaves out and without what is computed.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from pydantic import AliasChoices, AliasPath, BaseModel, SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError, to_jsonable_python

from langgraph_maker.core.canonical import canonical
from langgraph_maker.core.errors import NotJSONError
from langgraph_maker.core.foreign import excerpt

__all__ = ["decimal_form", "is_secret", "json_form"]

Hide = Callable[[Any], Any]
"""From a secret to what stands for it."""


def json_form(value: Any, hide: Hide | None = None) -> Any:
    """Return `value` as JSON has it.

    Args:
        value: Models, dataclasses, enums, sets, tuples, decimals, times, bytes and what pydantic writes as text.
        hide: What stands for a secret; without it there is nothing that a secret could be compared by.

    Raises:
        NotJSONError: For what has no such form, a secret without `hide` among it.
        ValueError: For decimals that are no finite number, and for what is nested too deeply.

    Example:
        >>> json_form({"lines": {8, 0}, "total": Decimal("12.50")})
        {'lines': [0, 8], 'total': 12.5}
    """
    try:
        return _form(value, hide)
    except RecursionError:
        raise ValueError("this value is nested too deeply to be a vote") from None


def is_secret(value: object) -> bool:
    """Tell whether this is a value that pydantic shows as asterisks."""
    return isinstance(value, (SecretStr, SecretBytes)) or hasattr(value, "get_secret_value")


def decimal_form(number: Decimal) -> int | float | str:
    """Return a decimal as the JSON number that says the same, and as text where none does.

    Raises:
        ValueError: For one that is no finite number.

    Example:
        >>> [decimal_form(Decimal(text)) for text in ("12.50", "1E+2", "0.10000000000000000001")]
        [12.5, 100, '0.10000000000000000001']
    """
    if not number.is_finite():
        raise ValueError(f"{number} is not JSON: a vote holds finite numbers only")
    sign, digits, exponent = number.as_tuple()
    written = "".join(map(str, digits)).lstrip("0")
    short = written.rstrip("0")
    power = int(exponent) + len(written) - len(short)
    if not short:
        return 0
    if power >= 0 and len(short) + power <= _INT_DIGITS:
        return int(f"{'-' * sign}{short}{'0' * power}")
    exact = Decimal((sign, tuple(map(int, short)), power))
    return number_of if Decimal(repr(number_of := float(exact))) == exact else str(exact)


_INT_DIGITS: Final = 18  # 64 bits hold all of these


def _form(value: Any, hide: Hide | None) -> Any:
    if value is None or isinstance(value, (bool, float)):
        return value
    for kind, form in _FORMS:
        if isinstance(value, kind):
            return form(value, hide)
    if is_secret(value):
        return _hidden(value, hide)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _form(getattr(value, field.name), hide) for field in dataclasses.fields(value)}
    return _as_text(value)


def _hidden(secret: Any, hide: Hide | None) -> Any:
    if hide is None:
        raise NotJSONError("a secret is not a vote that could be kept: give a schema, whose secrets are hashed")
    return hide(secret)


def _as_text(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return base64.urlsafe_b64encode(value).decode()
    if isinstance(value, datetime) and value.tzinfo is not None:
        try:
            value = value.astimezone(UTC)
        except OverflowError:  # at the ends of the calendar
            return value.isoformat()
    if isinstance(value, time):
        value = _at_utc(value)
    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, UnicodeDecodeError):
        raise NotJSONError(
            f"{excerpt(value, 80)}, a {type(value).__name__}, is not JSON: a vote is made of dicts, lists, strings,"
            " finite numbers, booleans and None, or of models, dataclasses, sets, decimals and times"
        ) from None


def _at_utc(at: time) -> time:
    """Return a time of day that knows its zone in UTC, where that is on the same day: then it is the same one."""
    offset = at.utcoffset()
    if not offset:
        return at
    moved = datetime.combine(_A_DAY, at, UTC) - offset
    return moved.timetz() if moved.date() == _A_DAY else at


_A_DAY: Final = date(2000, 1, 1)


def _of_mapping(value: Mapping[Any, Any], hide: Hide | None) -> dict[str, Any]:
    form: dict[str, Any] = {}
    for name, item in value.items():
        key = _form(name, hide)
        key = key if isinstance(key, str) else canonical(key)
        if key in form:
            raise ValueError(f"two keys of one object are written {excerpt(key)}")
        form[key] = _form(item, hide)
    return form


def _of_model(model: BaseModel, hide: Hide | None) -> Any:
    """Return the input that a model can be made of again, by the names that its fields are read under."""
    kind, form = type(model), dict[str, Any]()
    if kind.__pydantic_root_model__:
        return _form(model.root, hide)  # type: ignore[attr-defined]
    for name, field in kind.model_fields.items():
        _place(form, _path(kind, name, field.validation_alias or field.alias), _form(getattr(model, name), hide))
    for name, extra in (model.model_extra or {}).items():
        form[name] = _form(extra, hide)
    return form


def _path(kind: type[BaseModel], name: str, alias: str | AliasPath | AliasChoices | None) -> list[int | str]:
    """Return where a field is read from."""
    config = kind.model_config
    if alias is None or config.get("populate_by_name") or config.get("validate_by_name"):
        return [name]
    if isinstance(alias, AliasChoices):
        plain = [one for one in alias.choices if isinstance(one, str)]
        alias = name if name in plain else (plain or alias.choices)[0]
    return [alias] if isinstance(alias, str) else list(alias.path)


def _place(form: Any, path: list[int | str], value: Any) -> None:
    """Enter a value where a path of names and places leads."""
    for at, step in enumerate(path):
        if isinstance(step, int):
            form.extend([None] * (step + 1 - len(form)))
        if at + 1 == len(path):
            form[step] = value
            return
        missing = form[step] is None if isinstance(step, int) else step not in form
        if missing:
            form[step] = [] if isinstance(path[at + 1], int) else {}
        form = form[step]


_FORMS: Final[Sequence[tuple[type | tuple[type, ...], Callable[[Any, Hide | None], Any]]]] = (
    (enum.Enum, lambda value, hide: _form(value.value, hide)),
    (str, lambda value, _: str(value)),
    (int, lambda value, _: int(value)),
    (Decimal, lambda value, _: decimal_form(value)),
    (Fraction, lambda value, _: str(value)),
    (BaseModel, _of_model),
    (Mapping, _of_mapping),
    ((list, tuple), lambda value, hide: [_form(item, hide) for item in value]),
    (AbstractSet, lambda value, hide: sorted((_form(item, hide) for item in value), key=canonical)),
)
