"""What a failed call means: one table over what the clients of all providers say.

A failure is neither a vote nor a flag, but for those that are a response's own fault: one that was cut off or cannot
be read, or a prompt that is refused. These come as errors from some providers, and are flags like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Final, Literal, NamedTuple

from langchain_core.language_models import BaseChatModel

from langgraph_maker.core.foreign import bounded_text
from langgraph_maker.core.red_flags import RedFlag

__all__ = ["Failure", "Reading", "causes", "failure", "read", "reason"]


class Failure(NamedTuple):
    """What a failed call means.

    `kind` is "transient" where waiting may help, "permanent" where it cannot, "flag" where the response that it was to
    bring is flagged, "unknown" else; `wait` the seconds that the provider asks to be left alone; `busy` whether it said
    that there are too many calls; `reached` whether it said anything; `flag` the red flag.
    """

    kind: Literal["transient", "permanent", "flag", "unknown"]
    wait: float = 0.0
    busy: bool = False
    reached: bool = False
    flag: RedFlag | None = None


def failure(error: BaseException) -> Failure:
    """Return what a failed call means, by all that `error` and what caused it carry.

    Example:
        >>> failure(TimeoutError()).kind, failure(PermissionError()).kind, failure(ValueError("?")).kind
        ('transient', 'permanent', 'unknown')
        >>> failure(ValueError({"message": "Provider returned error", "code": 429})).kind
        'transient'
    """
    said = read(error)
    reached = said.status is not None or bool(said.codes)
    busy = said.status in _FULL or bool(said.codes & _THROTTLED)
    for sign in _TABLE:
        if sign.fits(said):
            if sign.means in _FLAGS:
                return Failure("flag", reached=reached, flag=RedFlag(sign.means, reason(error)))
            transient = sign.means == "transient"
            return Failure("transient" if transient else "permanent", said.wait, transient and busy, reached)
    if said.unreadable:
        return Failure("flag", reached=True, flag=RedFlag("malformed", f"the client cannot read it: {reason(error)}"))
    return Failure("permanent") if said.own & _BUGS else Failure("unknown", reached=reached)


class Reading(NamedTuple):
    """What an error and its causes carry.

    `status` is the HTTP status, also one in the body of a 200; `codes` the words by which a provider classes the error
    (letters and digits alone); `kinds` the names of the classes, with and without their package, `own` those of the
    error itself; `text` all that is said, in lower case; `messages` the provider's own; `wait` the seconds that it asks
    for; `unreadable` whether a client failed as clients do over what they did not expect.
    """

    status: int | None
    codes: frozenset[str]
    kinds: frozenset[str]
    own: frozenset[str]
    text: str
    messages: list[str]
    wait: float
    unreadable: bool


def read(error: BaseException) -> Reading:
    """Return all that is to be known of an error."""
    chain = causes(error)
    facts = _Facts()
    for cause in chain:
        facts.look_at(cause)
    return Reading(
        status=facts.status,
        codes=frozenset(facts.codes),
        kinds=frozenset(name for cause in chain for name in _names(cause)),
        own=_names(error),
        text=" ".join([*map(_text, chain), *facts.messages])[:_LONGEST].lower(),
        messages=facts.messages,
        wait=facts.wait,
        unreadable=isinstance(error, _MISREAD) and not _NO_SUCH_ARGUMENT.search(_text(error)) and _in_a_client(error),
    )


def reason(error: BaseException) -> str:
    """Return an error in words, with the provider's own reason where the client leaves that out.

    Example:
        >>> error = ValueError("Error code: 400")
        >>> error.body = {"detail": "Invalid n value"}
        >>> reason(error)
        'Error code: 400 - Invalid n value'
    """
    said = _text(error)
    messages = read(error).messages
    if not messages:
        return said[:_LONGEST_REASON]
    if not any(message in said for message in messages):
        said = f"{said} - {messages[0]}" if said else messages[0]
    elif not any(message in said[:_SHOWN] for message in messages):  # as in Cohere's, behind the headers
        said = f"{messages[0]} ({said})"
    return said[:_LONGEST_REASON]


def _text(error: BaseException) -> str:
    """Return what an error says, bounded, whatever it holds."""
    return bounded_text(error, _LONGEST)


def causes(error: BaseException) -> list[BaseException]:
    """Return an error and what caused it, each once."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(chain) < _MOST_PARTS and not any(cause is one for one in chain):
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


@dataclass(frozen=True)
class _Sign:
    """One line of the table: it fits an error that has one of its codes, kinds, statuses or words.

    Words do not count where the status says that the request was not looked at.
    """

    means: str
    codes: AbstractSet[str] = frozenset()
    kinds: AbstractSet[str] = frozenset()
    statuses: AbstractSet[int] = frozenset()
    words: re.Pattern[str] | None = None

    def fits(self, said: Reading) -> bool:
        if self.codes & said.codes or self.kinds & said.kinds or said.status in self.statuses:
            return True
        read = self.means not in _FLAGS or said.status not in _NOT_READ
        return bool(read and self.words and self.words.search(said.text))


@dataclass
class _Facts:
    """What errors of all clients carry, wherever they do: attributes, bodies, a response, arguments."""

    status: int | None = None
    codes: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)
    wait: float = 0.0

    def look_at(self, cause: BaseException) -> None:
        response = getattr(cause, "response", None)
        for place in (cause, response):
            for name in _STATUS_IN:
                self.number(getattr(place, name, None))
        for name in ("code", "type", "status"):
            self.code(getattr(cause, name, None))
        headers = getattr(response, "headers", None)
        if isinstance(response, Mapping):  # botocore's
            headers = (response.get("ResponseMetadata") or {}).get("HTTPHeaders")
        self.wait = self.wait or _retry_after(headers)
        body = [getattr(cause, name, None) for name in _BODY_IN]
        for place in (*body, response, *cause.args, _text_of(response), *_own_words(cause)):
            self.look_into(place)

    def look_into(self, value: Any, depth: int = 6) -> None:
        """Find codes and messages in a body: a mapping, JSON, or an object as the client made it of that."""
        if isinstance(value, (str, bytes)):
            value = _json_in(value)
        elif hasattr(value, "model_dump") and not isinstance(value, type):  # such as openai's ResponseError
            value = {name: getattr(value, name, None) for name in ("code", "message", "type", "error")}
        if not depth:
            return
        if isinstance(value, (list, tuple)):
            for inner in value[:_MOST_PARTS]:
                self.look_into(inner, depth - 1)
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                self.entry(name, inner)
                self.look_into(inner, depth - 1)

    def entry(self, name: Any, value: Any) -> None:
        if name in _CODE_IN or name in _STATUS_IN:
            self.number(value)
            self.code(value)
        elif name == "retryDelay" and isinstance(value, str):  # Google's RetryInfo
            self.wait = self.wait or _seconds(value.removesuffix("s"))
        elif name in _MESSAGE_IN and isinstance(value, str):
            self.messages.append(value[:_LONGEST_REASON])

    def number(self, value: Any) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:  # noqa: PLR2004 - HTTP's
            self.status = self.status or value

    def code(self, value: Any) -> None:
        if isinstance(value, str) and value:
            self.codes.add(_plain(value))


_STATUS_IN: Final = ("status_code", "status", "code", "http_status", "HTTPStatusCode")
_CODE_IN: Final = ("code", "type", "status", "Code", "reason", "error_code", "quotaId")
_BODY_IN: Final = ("body", "details", "error", "data", "json_body")
_MESSAGE_IN: Final = ("message", "Message", "detail", "msg", "error", "raw", "error_message")
_LONGEST, _LONGEST_REASON = 20_000, 1000  # characters
_SHOWN: Final = 180  # characters of which a flag's detail has room
_MOST_PARTS: Final = 20


def _names(error: BaseException) -> frozenset[str]:
    kinds = type(error).__mro__
    return frozenset(name for kind in kinds for name in (kind.__name__, f"{_package(kind)}.{kind.__name__}"))


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _plain(code: str) -> str:
    return re.sub(r"[^a-z0-9]", "", code[:200].lower())


def _own_words(cause: BaseException) -> list[str]:
    """Text that a client wraps a body in, as Mistral's does."""
    return [] if any(not isinstance(one, str) for one in cause.args) else [_text(cause)]


def _text_of(response: Any) -> str | None:
    """Return the body of an HTTP response that has been read."""
    try:
        text = getattr(response, "text", None)
    except Exception:  # noqa: BLE001 - each library has its own for "not read yet"
        return None
    return text if isinstance(text, str) else None


def _json_in(text: str | bytes) -> Any:
    said = text[:_LONGEST].decode(errors="replace") if isinstance(text, bytes) else text[:_LONGEST]
    first, last = said.find("{"), said.rfind("}")
    try:
        return json.loads(said[first : last + 1]) if 0 <= first < last else None
    except (ValueError, RecursionError):
        return None


def _retry_after(headers: Any) -> float:
    """Return seconds that the provider asks to wait, 0 where it does not say."""
    try:
        if (milliseconds := (headers or {}).get("retry-after-ms")) is not None:
            return _seconds(milliseconds) / 1000
        said = (headers or {}).get("retry-after") or "0"
        return _seconds(said) if said[:1].isdigit() else max(0.0, parsedate_to_datetime(said).timestamp() - time())
    except (ValueError, TypeError, AttributeError, OverflowError):
        return 0.0


def _seconds(said: str) -> float:
    try:
        seconds = float(said)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < float("inf") else 0.0


def _in_a_client(error: BaseException) -> bool:
    """Return whether it was raised while a chat model was called, and not by what a user has around it."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name in _CALLS and isinstance(frame.f_locals.get("self"), BaseChatModel):
            return True
        trace = trace.tb_next
    return False


_CALLS: Final = frozenset({"_agenerate", "_generate", "_astream", "_stream"})
_MISREAD: Final = (AttributeError, TypeError, KeyError, IndexError, RecursionError)
_NO_SUCH_ARGUMENT: Final = re.compile(r"(keyword|positional|required) arguments?\b")
_FLAGS: Final = frozenset({"truncated", "malformed", "refusal"})
_FULL: Final = frozenset({429, 529})
_NOT_READ: Final = frozenset({401, 402, 404, 408, 409, 425, 502, 503, 504}) | _FULL
_BUGS: Final = frozenset({"TypeError", "AttributeError", "NameError", "AssertionError", "ImportError", "RuntimeError"})


def _codes(words: str) -> frozenset[str]:
    return frozenset(map(_plain, words.split()))


_THROTTLED: Final = _codes(
    "rate_limit_exceeded rate_limit_error rate_limited too_many_requests RESOURCE_EXHAUSTED"  # Gemini's the last
    " ThrottlingException TooManyRequestsException ModelNotReadyException Throttling"  # Bedrock
    " Throttling.RateQuota Throttling.BurstRate rateLimitExceeded 1302 1303"  # DashScope, Google's older, Zhipu
)
_TABLE: Final[Sequence[_Sign]] = (
    # responses that come as errors: flags
    _Sign(
        "truncated",
        kinds={"LengthFinishReasonError"},
        # OpenAI and Azure: "Could not finish the message because max_tokens or model output limit was reached"
        words=re.compile(
            r"could not finish the message|(max\w*_tokens|output (token )?limit|output tokens?).{0,40}"
            r"\b(was|were|been|is) (reached|hit|exhausted)"
        ),
    ),
    _Sign("truncated", kinds={"ContentFilterFinishReasonError"}, words=re.compile("content filter being triggered")),
    _Sign("refusal", kinds={"ModelRefusalError"}),
    _Sign(
        "malformed",
        kinds={"OutputParserException"},
        codes=_codes("tool_use_failed json_validate_failed output_parse_failed tool_call_parse_error"),  # Groq; others
        # Ollama: "error parsing tool call"; llama.cpp: "Failed to parse input at pos 3"; OpenAI: "The model produced
        # invalid content"; Bedrock: "Model produced invalid sequence as part of ToolUse"; Groq: "Failed to call a …"
        words=re.compile(
            r"(error|fail\w*|unable|not|cannot)( to| be)? pars\w+ (the |its )?(model'?s? )?"
            r"(tool|function|output|response|generation|completion|input at)"
            r"|(output|generation|completion|tool ?call|function ?call)s? (that )?(could not|cannot|can't) be parsed"
            r"|model (has )?(generated|produced|returned|emitted) (an? )?(invalid|malformed|unparsable)"
            r"|failed to (call a function|generate (a )?(valid )?(json|tool ?call|function ?call))"
            r"|(invalid|malformed) (tool|function)[ _]?call (generat\w+|arguments|syntax)"
        ),
    ),
    # prompts that a filter refuses, or that are too long: the fault of one ballot, not of the run
    _Sign(
        "refusal",
        kinds={"ContextOverflowError"},
        codes=_codes(
            "content_filter content_policy content_policy_violation ResponsibleAIPolicyViolation invalid_prompt"
            " moderation_blocked data_inspection_failed 1301 context_length_exceeded"
        ),
        # Azure; Google; DeepSeek: "Content Exists Risk"; OpenRouter: "Your input was flagged for …"
        words=re.compile(
            r"content management policy|content policy|usage polic|(input|prompt) was (flagged|blocked|filtered)"
            r"|content exists risk|prohibited_content|blocked by .{0,40}(filter|safety|moderation)"
            r"|maximum context length|prompt is too long|context window"
        ),
    ),
    # money that has run out: no waiting mends it
    _Sign(
        "permanent",
        statuses={402},
        codes=_codes(
            "insufficient_quota billing_hard_limit_reached billing_not_active insufficient_balance insufficient_funds"
            " insufficient_credits credit_balance_too_low billing_error exceeded_current_quota_error"
            " Arrearage AllocationQuota.FreeTierOnly 1113 ServiceQuotaExceededException"  # Alibaba, Zhipu, Bedrock
        ),
        # Google's free tier; Anthropic; Moonshot; xAI: "used all available credits or reached its monthly spending
        # limit"; Cohere: "a Trial key, which is limited to 1000 API calls / month"; OpenRouter: "free-models-per-day"
        words=re.compile(
            r"quotaid\W{1,6}\w+perday|credit balance is too low|insufficient[ _](balance|quota|credit|funds)"
            r"|(out of|used (up )?all( of)?( (the|your|its))?( available| remaining)?|no( more)?) credits"
            r"|(monthly|daily|spend(ing)?|usage|billing( hard)?)[ _](spend(ing)? |usage |hard )?(limit|quota|cap)"
            r" (has been |was |is |have been )?(reached|exceeded|exhausted|used)"
            r"|(reached|exceeded|exhausted|used up)( (your|its|the))?"
            r" (monthly|specified api|daily|spend(ing)?|usage|billing)"
            r"|limited to [\d,]+ [\w ]{0,20}(/|per) ?month|free-models-per-day"
        ),
    ),
    # "You exceeded your current quota" is for good, but for Google's, whose next minute may have another
    _Sign("transient", codes=_codes("RESOURCE_EXHAUSTED")),
    _Sign("permanent", words=re.compile(r"exceeded your current (quota|usage)|check your plan and billing")),
    _Sign("transient", statuses={408, 409, 424, 425, 498, 499, *_FULL}, codes=_THROTTLED),  # 424: Bedrock; 498: Groq
    _Sign("permanent", statuses={*range(400, 500)}),
    _Sign("transient", statuses={*range(500, 600)}),
    # codes without a status: in the body of a 200, or in a stream
    _Sign(
        "transient",
        codes=_codes(
            "overloaded_error api_error server_error internal_server_error service_unavailable timeout_error slow_down"
            " UNAVAILABLE INTERNAL DEADLINE_EXCEEDED ABORTED vector_store_timeout upstream_error"  # Gemini; Responses
            " InternalServerException ServiceUnavailableException ModelTimeoutException ModelErrorException"  # Bedrock
            " ModelStreamErrorException RequestTimeout RequestTimeoutException 1305"
        ),
    ),
    _Sign(
        "permanent",
        codes=_codes(
            "AccessDeniedException ValidationException ResourceNotFoundException UnrecognizedClientException"  # Bedrock
            " ExpiredTokenException InvalidSignatureException authentication_error permission_error not_found_error"
            " invalid_request_error invalid_api_key model_not_found account_deactivated"
            " INVALID_ARGUMENT FAILED_PRECONDITION PERMISSION_DENIED UNAUTHENTICATED NOT_FOUND"
        ),
        kinds={
            *("PermissionError", "SSLCertVerificationError", "ModelAuthenticationError", "ModelPermissionDeniedError"),
            *("ModelNotFoundError", "ModelInvalidRequestError", "NoCredentialsError", "PartialCredentialsError"),
            *("NoRegionError", "DefaultCredentialsError", "RefreshError", "ParamValidationError"),
        },
    ),
    _Sign(
        "transient",
        kinds={
            *(
                "TransportError",
                "APIConnectionError",
                "aiohttp.ClientError",
                "JSONDecodeError",
                "TimeoutError",
                "OSError",
            ),
            *("SSLError", "ProtocolError", "IncompleteRead", "HTTPClientError"),
            *("APIResponseValidationError", "ResponseValidationError"),
            *("ModelRateLimitError", "ModelAPIError", "ModelConnectionError", "ModelTimeoutError"),
        },
        # how chat clients say that a body was none of a chat completion
        words=re.compile(r"'choices'|unexpected response type|no choices|no generations"),
    ),
)
"""What errors mean; the first line that fits says."""
