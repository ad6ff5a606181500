"""What an answer must be: from a schema to the tool that a model is given, and from an answer to its vote."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from functools import lru_cache
from hashlib import blake2b, scrypt
from typing import Any, Final, Required, TypeAlias, get_type_hints, is_typeddict

import typing_extensions
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError

from langgraph_maker.core.errors import MakerError
from langgraph_maker.core.foreign import error_text, excerpt
from langgraph_maker.core.json_form import json_form
from langgraph_maker.core.red_flags import RedFlag
from langgraph_maker.core.state import Request, Sampler
from langgraph_maker.models.resolve import Model, chat_model, check_model, each_chat_model
from langgraph_maker.prebuilt.tool_intents import json_check

__all__ = ["Schema", "SchemaLike"]

SchemaLike: TypeAlias = type[BaseModel] | type[Any] | Mapping[str, Any]
"""A pydantic model class, a TypedDict, a dataclass, or a JSON schema."""


class Schema:
    """Reads answers as votes: the JSON form of the object that an answer makes, see `json_form`.

    In place of a secret a vote holds a salted hash of it, the same in every process. Secrets are in the memory of the
    process that drew them, and nowhere else.

    Raises:
        TypeError: For what is no schema.
        ImportError: For a JSON schema, where the extra `agents` is missing.
    """

    def __init__(self, given: SchemaLike) -> None:
        self._adapter = _adapter(given)
        described, own = _described(given, self._adapter)
        self.name: str = described["name"]
        self._check = json_check({} if self._adapter else described.get("parameters") or {})
        fit = _UNFIT.sub("_", self.name)[:64]
        self._names = {self.name, fit}
        self._tool: Any = given if fit == self.name and own else {**described, "name": fit}
        self.has_secrets = self._adapter is not None and "Secret" in repr(self._adapter.core_schema)
        self._secrets: OrderedDict[str, Any] = OrderedDict()
        self._salt = blake2b(self.name.encode(), digest_size=16).digest()

    def asked_of(self, model: Model) -> Model:
        """Return what draws answers of this form, as tool calls where the model has them."""
        check_model(model)
        if isinstance(model, str):
            model = chat_model(model)
        if isinstance(model, Runnable):
            return each_chat_model(model, self._with_tool) | RunnableLambda(self._as_text)
        return _Sealing(model, self._sealed) if self.has_secrets and callable(model) else model

    def _with_tool(self, model: BaseChatModel) -> Runnable[Any, Any]:
        with suppress(NotImplementedError):  # a model without tools has to be prompted for the JSON
            return model.bind_tools([self._tool], tool_choice="any")
        return model

    def _as_text(self, response: Any) -> Any:
        """Return the arguments of the tool call stand in for the text."""
        if not isinstance(response, AIMessage):
            return response
        if self.has_secrets:
            return self._sealed(response)
        if not response.tool_calls:
            return response
        return response.model_copy(update={"content": json.dumps(response.tool_calls[0]["args"])})

    def flag(self, response: AIMessage) -> RedFlag | None:
        """Flag an answer that is several, or for another tool, or one that the model's own client could not read."""
        called = [call["name"] for call in [*response.tool_calls, *response.invalid_tool_calls]]
        if response.invalid_tool_calls or len(called) > 1 or not self._names.issuperset(called):
            return RedFlag("tool_calls", f"{excerpt(called)}, where one valid call of {self.name} was asked for")
        return None

    def read(self, text: str) -> Any:
        """Return the vote in an answer.

        Raises:
            ValueError: For an answer that does not fit.
        """
        if self.has_secrets and text.startswith(_UNREAD):
            raise ValueError(text.removeprefix(_UNREAD))
        if self.has_secrets and text.startswith(_SEALED):
            return json.loads(text.removeprefix(_SEALED))
        if self._adapter is None:
            self._check(vote := json.loads(text))
            return vote
        try:
            made = self._adapter.validate_json(text)
        except ValidationError as error:
            raise ValueError(self._misfit(error)) from None
        return self._vote(made)

    def _vote(self, made: Any) -> Any:
        """Return the JSON that the object can be made of again: by its fields, or as its serializers write it."""
        form = json_form(made, self._hidden)
        if self.has_secrets or self._makes(form, made):
            return form
        with suppress(PydanticSerializationError, ValueError):
            written = self._adapter.dump_python(made, mode="json", by_alias=True, round_trip=True)  # type: ignore[union-attr]
            return written if self._makes(written, made) else form
        return form

    def _makes(self, form: Any, made: Any) -> bool:
        adapter: TypeAdapter[Any] = self._adapter  # type: ignore[assignment]
        with suppress(ValueError, TypeError):
            if adapter.validate_python(form) == made:
                return True
        with suppress(ValueError, TypeError):
            return bool(adapter.validate_json(json.dumps(form)) == made)
        return False

    def _misfit(self, error: ValidationError) -> str:
        """Return what does not fit, without what might be a secret."""
        told = "type" if self.has_secrets else "msg"
        wrong = error.errors(include_input=False, include_url=False)
        said = [f"{'.'.join(map(str, one['loc'])) or 'the answer'}: {one[told]}" for one in wrong[:_TOLD]]  # type: ignore[literal-required]
        return "; ".join(said)

    def _hidden(self, secret: Any) -> str:
        value = secret.get_secret_value()
        text = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        token = _token(text, self._salt)
        self._secrets[token] = secret
        if len(self._secrets) > _REMEMBERED:
            self._secrets.popitem(last=False)
        return token

    def _sealed(self, response: AIMessage) -> AIMessage:
        """Return the response with nothing in it but its vote, before any state holds it."""
        try:
            if flag := self.flag(response):
                raise ValueError(flag.reason)  # noqa: TRY301 - whatever it says
            text = json.dumps(response.tool_calls[0]["args"]) if response.tool_calls else response.text
            said = _SEALED + json.dumps(self.read(text)) if text.strip() else ""
        except (ValueError, TypeError, RecursionError) as error:
            said = _UNREAD + (str(error) if type(error) is ValueError else type(error).__name__)
        kept = {name: value for name, value in response.response_metadata.items() if name != "logprobs"}
        usage = response.usage_metadata
        return AIMessage(said, response_metadata=kept, usage_metadata=usage, id=response.id)

    def restored(self, vote: Any) -> Any:
        """Return a vote with the secrets themselves in place of their hashes, where they are known here."""
        if isinstance(vote, dict):
            return {name: self.restored(value) for name, value in vote.items()}
        if isinstance(vote, list):
            return [self.restored(value) for value in vote]
        return self._secrets.get(vote, vote) if isinstance(vote, str) else vote

    def check_restored(self, vote: Any) -> None:
        """Refuse a vote with a secret that is not known here.

        Raises:
            MakerError: With what to do.
        """
        if isinstance(vote, str) and _HASH.fullmatch(vote):
            raise MakerError(
                "the answer that won holds a secret that was drawn by a process which has ended; secrets are not"
                " stored: hold the vote again, as on another thread"
            )
        for inner in vote.values() if isinstance(vote, dict) else vote if isinstance(vote, list) else ():
            self.check_restored(inner)


class _Sealing:
    """A sampler whose responses are sealed."""

    def __init__(self, sampler: Sampler, seal: Callable[[AIMessage], AIMessage]) -> None:
        self._sampler, self._seal = sampler, seal

    async def __call__(self, requests: Sequence[Request]) -> Sequence[AIMessage | Exception]:
        responses = await self._sampler(requests)
        return [self._seal(one) if isinstance(one, AIMessage) else one for one in responses]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)


def _adapter(given: Any) -> TypeAdapter[Any] | None:
    if isinstance(given, Mapping):
        return None
    model = isinstance(given, type) and issubclass(given, BaseModel)
    if not (model or is_typeddict(given) or typing_extensions.is_typeddict(given) or _is_data(given)):
        instance = (
            "; give the class, not an object of it" if isinstance(given, BaseModel) or is_dataclass(given) else ""
        )
        raise TypeError(
            "schema is a pydantic model class, a TypedDict, a dataclass or a JSON schema, not"
            f" {excerpt(given)}{instance}"
        )
    try:
        return TypeAdapter(given)
    except PydanticUserError as error:
        if error.code != "typed-dict-version":
            raise TypeError(f"schema {given.__name__} cannot be read: {error_text(error)}") from error
    hints = get_type_hints(given, include_extras=True)
    fields = {
        name: typing_extensions.NotRequired[hint] if name in given.__optional_keys__ else Required[hint]
        for name, hint in ((name, _bare(hint)) for name, hint in hints.items())
    }
    try:
        make: Any = typing_extensions.TypedDict
        return TypeAdapter(make(given.__name__, fields))
    except PydanticUserError as error:  # one inside it
        raise TypeError(f"schema {given.__name__} cannot be read: {error_text(error)}") from error


def _bare(hint: Any) -> Any:
    """Return a field's type without whether it is required."""
    marks = (Required, typing_extensions.NotRequired)
    return hint.__args__[0] if getattr(hint, "__origin__", None) in marks else hint


def _is_data(given: Any) -> bool:
    return isinstance(given, type) and is_dataclass(given)


def _described(given: Any, adapter: TypeAdapter[Any] | None) -> tuple[dict[str, Any], bool]:
    """Return the tool that answers are calls of, and whether a model's client makes the same of what was given."""
    if isinstance(given, Mapping):
        named = {"title", "name", "function"} & given.keys()
        return convert_to_openai_tool(dict(given) if named else {"title": "answer", **given})["function"], False
    try:
        return convert_to_openai_tool(given)["function"], isinstance(given, type)
    except Exception:
        if adapter is None:
            raise
        form = {**adapter.json_schema(), "title": given.__name__}
        return convert_to_openai_tool(form)["function"], False


@lru_cache(maxsize=1024)
def _token(secret: bytes, salt: bytes) -> str:
    return f"{_MARK}{scrypt(secret, salt=salt, n=2**12, r=8, p=1, dklen=16).hex()}"


_MARK: Final = "secret-hash:"
_HASH: Final = re.compile(f"{_MARK}[0-9a-f]{{32}}")
_SEALED: Final = "sealed: "
_UNREAD: Final = "unreadable: "
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_-]")
_TOLD: Final = 3
_REMEMBERED: Final = 65_536
