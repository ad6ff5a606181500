"""The table of what errors mean, over what the clients of all providers say: the first line that fits says.

Lines go by statuses, codes and types, which are structure, and by words where providers have nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from langgraph_maker.models.error_reading import Reading, plain_code

__all__ = ["FLAGS", "TABLE", "THROTTLED", "Sign"]


@dataclass(frozen=True)
class Sign:
    """One line of the table: it fits an error that has one of its codes, kinds, statuses or words.

    `means` is what such an error is: a flag's reason, "transient", "permanent", or "prompt" where it is permanent and
    may be about this prompt alone. `named` is looked for in codes and in the names of classes, letters and digits
    alone. Words count under the statuses in `under` only, and those of flags not where the status says that the request
    was not looked at.
    """

    means: str
    codes: AbstractSet[str] = frozenset()
    kinds: AbstractSet[str] = frozenset()
    statuses: AbstractSet[int] = frozenset()
    named: re.Pattern[str] | None = None
    words: re.Pattern[str] | None = None
    under: AbstractSet[int | None] | None = None
    test: Callable[[Reading], bool] | None = None

    def fits(self, said: Reading) -> bool:
        """Return whether an error is one of this line's."""
        if self.codes & said.codes or self.kinds & said.kinds or said.status in self.statuses:
            return True
        if self.test is not None and self.test(said):
            return True
        if self.means in FLAGS and said.status in _NOT_READ:
            return False
        if self.named and any(map(self.named.search, {*said.codes, *map(plain_code, said.kinds)})):
            return True
        counts = self.under is None or said.status in self.under
        return bool(counts and self.words and self.words.search(said.text))


FLAGS: Final = frozenset({"truncated", "malformed", "refusal"})
_FULL: Final = frozenset({429, 529})
_NOT_READ: Final = frozenset({401, 402, 404, 408, 409, 425, 502, 503, 504}) | _FULL
_OF_THE_REQUEST: Final = frozenset({400, 403, 406, 411, 413, 414, 415, 418, 422, 431, 451})
"""Statuses that say that this request is not taken: its settings, its prompt, or all of its kind."""


def _codes(words: str) -> frozenset[str]:
    return frozenset(map(plain_code, words.split()))


def _near(one: str, other: str, most: int = 40) -> str:
    """Return a pattern for two that stand near each other, in either order."""
    return rf"({one}).{{0,{most}}}({other})|({other}).{{0,{most}}}({one})"


def _is_larger_than_its_limit(said: Reading) -> bool:
    """Return whether one request is more than a limit of so many tokens a minute, so that no minute has room for it."""
    found = _LIMIT_FIRST.search(said.text) or _REQUESTED_FIRST.search(said.text)
    if found is None:
        return bool(said.status in _FULL and _TOO_LARGE.search(said.text))
    limit, requested = (int(re.sub(r"\D", "", found[name])) for name in ("limit", "requested"))
    return requested > limit


def _is_used_up(said: Reading) -> bool:
    """Return whether words say that a quota is used up, and nothing says that it comes back soon."""
    return not said.wait and bool(_USED_UP.search(said.text)) and not _RATE.search(said.text)


_LIMIT: Final = r"\blimit\w*\W{0,3}(is |of )?(?P<limit>\d[\d,]*)"
_REQUESTED: Final = r"\brequested\W{0,3}(about |~)?(?P<requested>\d[\d,]*)"
_LIMIT_FIRST: Final = re.compile(rf"{_LIMIT}\b.{{0,60}}?{_REQUESTED}")
_REQUESTED_FIRST: Final = re.compile(rf"{_REQUESTED}\b.{{0,60}}?{_LIMIT}")
_TOO_LARGE: Final = re.compile(r"(request|prompt|input|message)s? (is |are |was )?(itself )?(too (large|long|big))")
_RATE: Final = re.compile(
    r"\bper[ _-]?(second|sec|minute|min|hour)\b|/ ?(s|sec|second|m|min|minute|h|hour)\b|\b[rt]p[ms]\b"
    r"|try again in|retry (after|in)\b|rate[ _]limit|throttl"
)
_USED_UP: Final = re.compile(
    _near(
        r"\b(quota|allowance|budget|subscription|plan|free tier|trial)\b",
        r"exhausted|used[ -]up|depleted|expired|has ended|has been exceeded|is exceeded|exceeded your|insufficient",
        30,
    )
)
THROTTLED: Final = _codes(
    "rate_limit_exceeded rate_limit_error rate_limited too_many_requests RESOURCE_EXHAUSTED"  # Gemini's the last
    " ThrottlingException TooManyRequestsException ModelNotReadyException Throttling"  # Bedrock
    " Throttling.RateQuota Throttling.BurstRate rateLimitExceeded 1302 1303"  # DashScope, Google's older, Zhipu
)
"""Codes that say that there are too many calls."""

_NONE_LEFT: Final = (
    r"insufficient|exhaust\w*|deplet\w*|\br[ua]n out\b|\bused[ -]up\b|\bused (up )?all\b|too low|not enough|negative"
    r"|\bempty\b|\bzero\b|\bno (more|remaining|longer)\b|\bout of\b|expired"
)
_PARSED: Final = (
    r"pars(e|ed|er|es|ing|able)\b|unpars\w+|deseriali[sz]\w*|decod(e|ed|ing)\b|unmarshal\w*|extract\w*|malformed"
    r"|(invalid|not (a )?valid|broken|incomplete|bad) (json|xml|syntax|format|arguments?)"
    r"|(does|did) ?n[o']t (match|conform)"
    r"|unexpected (end|token|character|empty)|syntax error"
)
_OUTPUT: Final = (
    r"\b(tool|function)s?[ _-]?(call|use)s?\b|\btool[ _-]parser|\bfc related|\bgrammar\b|\bharmony\b"
    r"|\b(model|assistant|llm|generated|generator)('?s)? (\w+ )?"
    r"(output|response|reply|answer|text|message|json|completion)"
    r"|\b(output|generation|completion)s?\b|\bstructured (output|response)|\barguments\b"
)
_FILTERS: Final = (
    r"\bcontent\b|\bguardrails?\b|\bmoderat\w+|\bpolic(y|ies)\b|\bguidelines?\b|\bterms of (service|use)\b"
    r"|\bsafety (system|filter|check|classifier|rules?|reasons?)"
)
_JUDGED: Final = (
    r"violat(e|es|ed|ion|ions|ing)\b|\bflagged\b|\bblocked\b|\bfiltered\b|\brejected\b|\btrigger\w*\b|\bintervened\b"
    r"|\bagainst\b|\bbreach\w*|\bprohibited\b|\bdisallowed\b|\binappropriate\b|\bharmful\b|\bunsafe\b|\billegal\b"
    r"|(?<!case[ -])(?<!in)sensitive\b|\bhigh[ -]risk\b"
)
_ASKED: Final = r"\b(prompt|input|context|message|conversation|text|query|question|document|request|content)s?"
_TOO_LONG: Final = (
    r"\btoo (long|large|big|many)\b|\bexceed\w*|\blonger than\b|\breduce\b|\bshorten\b|\bover the limit\b"
)
_LENGTH: Final = (
    r"max(imum)? (allowed )?(number of )?(context|prompt|input|model|sequence|message)[ _-]?(length|len|size|tokens?)"
    r"|max_(model_len|input_tokens|input_length|prompt_length|seq_len\w*)|range of input length"
    r"|context[ _-](window|length|size)"
    r"|input token count|too many (input|prompt) tokens|inputs? tokens \+"
)

TABLE: Final[Sequence[Sign]] = (
    # responses that come as errors: flags
    Sign(
        "truncated",
        kinds={"LengthFinishReasonError"},
        # OpenAI and Azure: "Could not finish the message because max_tokens or model output limit was reached"
        words=re.compile(
            r"could not finish the message|(max\w*_tokens|output (token )?limit|output tokens?).{0,40}"
            r"\b(was|were|been|is) (reached|hit|exhausted)"
        ),
    ),
    Sign("truncated", kinds={"ContentFilterFinishReasonError"}, words=re.compile("content filter being triggered")),
    Sign("refusal", kinds={"ModelRefusalError"}),
    Sign(
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
    # a server that took the request, and failed over what its model made of it
    Sign(
        "malformed",
        under={500, 501, 424, None},
        # Ollama's parsers: "XML syntax error on line 3", "invalid character '}' looking for beginning of value"
        words=re.compile(
            rf"{_near(_PARSED, _OUTPUT)}|looking for beginning of|unexpected end of json input|xml syntax error"
        ),
    ),
    # whom nothing is given, whatever the prompt
    Sign(
        "permanent",
        codes=_codes(
            "invalid_api_key API_KEY_INVALID account_deactivated authentication_error UNAUTHENTICATED"
            " UnrecognizedClientException ExpiredTokenException InvalidSignatureException model_not_found"
        ),
        words=re.compile(
            r"\b(account|organi[sz]ation|project|team|workspace|api[ _-]?key|subscription)\b.{0,40}"
            r"\b(suspended|disabled|deactivated|terminated|banned|revoked|expired|locked|restricted)\b"
        ),
    ),
    # money that has run out: no waiting mends it
    Sign(
        "permanent",
        statuses={402},
        codes=_codes("exceeded_current_quota_error AllocationQuota.FreeTierOnly 1113 ServiceQuotaExceededException"),
        named=re.compile(
            r"insufficient\w*(quota|balance|funds?|credits?)$|billing|arrear|overdue|unpaid|payment(required|failed|due)"
            r"|credit(s|balance)|outof(credits?|funds|quota)|(quota|credits?|balance)(exhausted|usedup|depleted)"
            r"|spend(ing)?(limit|cap)|balance(too|not|in)\w+"
        ),
        # Google's free tier; Anthropic; Moonshot; xAI: "used all available credits or reached its monthly spending
        # limit"; Cohere: "a Trial key, which is limited to 1000 API calls / month"; OpenRouter: "free-models-per-day"
        words=re.compile(
            r"quotaid\W{1,6}\w+perday|\blimit: 0\b|payment (is )?required|\barrear|\boverdue\b|\bunpaid\b"
            r"|insufficient[ _]quota"
            rf"|{_near(r'(?<!load )balance|credits?|funds|wallet', _NONE_LEFT, 30)}"
            r"|out of (quota|money)|(please|must|need to) (recharge|top[ -]?up)|余额|欠费"
            r"|(billing|payment).{0,40}(inactive|not active|past due|failed|not (been )?(enabled|set up))"
            r"|(monthly|weekly|daily|spend(ing)?|usage|billing( hard)?)[ _](spend(ing)? |usage |hard )?"
            r"(limit|quota|cap) (has been |was |is |have been )?(reached|exceeded|exhausted|used)"
            r"|(reached|exceeded|exhausted|used up)( (your|its|the))?"
            r" (monthly|weekly|specified api|daily|spend(ing)?|usage|billing)"
            r"|limited to [\d,]+ [\w ]{0,20}(/|per) ?month|free-models-per-day"
        ),
    ),
    # the fault of one ballot, not of the run: prompts that a filter refuses
    Sign(
        "refusal",
        codes=_codes("invalid_prompt 1301"),
        # Azure, Alibaba, OpenAI, Volcengine; LiteLLM's and others' classes
        named=re.compile(
            r"contentfilter|contentpolicy|policyviolation|datainspection|moderation(blocked|failed)?|sensitivecontent"
            r"|contentrisk|riskdetect|safety(violation|check)|guardrail(s)?(violat|interven|block)|contentblocked"
        ),
        # xAI: "Failed check: SAFETY_CHECK_TYPE_BIO"; MiniMax: "new_sensitive"; DeepSeek: "Content Exists Risk"
        words=re.compile(
            rf"safety[ _]?(check|violation)|content[ _]?policy|content[ _](management|filter|exists risk)|usage polic"
            r"|prohibited[_ ]content|new_sensitive|responsible ai"
            rf"|{_near(_FILTERS, _JUDGED)}|{_near(_ASKED, _JUDGED)}"
        ),
    ),
    # and prompts that are too long
    Sign(
        "refusal",
        kinds={"ContextOverflowError"},
        named=re.compile(
            r"context(length|window|size)|exceedcontext|(prompt|input|message)too(long|large)|requesttoolarge"
            r"|stringabovemaxlength|contextoverflow"
        ),
        words=re.compile(rf"{_LENGTH}|{_ASKED} (\w+ ){{0,4}}(is |are |was |were )?({_TOO_LONG})"),
        under=_OF_THE_REQUEST | {500, 501, None},
    ),
    Sign("prompt", test=_is_larger_than_its_limit),
    # "You exceeded your current quota" is for good, but for Google's, whose next minute may have another
    Sign("transient", codes=_codes("RESOURCE_EXHAUSTED")),
    Sign(
        "permanent",
        words=re.compile(r"exceeded your current (quota|usage)|check your plan and billing"),
        test=_is_used_up,
    ),
    Sign("transient", statuses={408, 409, 424, 425, 498, 499, *_FULL}, codes=THROTTLED),  # 424: Bedrock; 498: Groq
    Sign(
        "permanent",
        codes=_codes(
            "AccessDeniedException ResourceNotFoundException permission_error not_found_error"
            " FAILED_PRECONDITION PERMISSION_DENIED NOT_FOUND"
        ),
        statuses=frozenset(range(400, 500)) - _OF_THE_REQUEST,
    ),
    Sign("prompt", statuses=_OF_THE_REQUEST),
    Sign("transient", statuses={*range(500, 600)}),
    # codes without a status: in the body of a 200, or in a stream
    Sign(
        "transient",
        codes=_codes(
            "overloaded_error api_error server_error internal_server_error service_unavailable timeout_error slow_down"
            " UNAVAILABLE INTERNAL DEADLINE_EXCEEDED ABORTED vector_store_timeout upstream_error"  # Gemini; Responses
            " InternalServerException ServiceUnavailableException ModelTimeoutException ModelErrorException"  # Bedrock
            " ModelStreamErrorException RequestTimeout RequestTimeoutException 1305"
        ),
    ),
    Sign(
        "prompt",
        codes=_codes("ValidationException invalid_request_error INVALID_ARGUMENT"),
        kinds={"ModelInvalidRequestError", "ParamValidationError"},
    ),
    Sign(
        "permanent",
        kinds={
            *("PermissionError", "SSLCertVerificationError", "ModelAuthenticationError", "ModelPermissionDeniedError"),
            *("ModelNotFoundError", "NoCredentialsError", "PartialCredentialsError", "NoRegionError"),
            *("DefaultCredentialsError", "RefreshError"),
        },
    ),
    Sign(
        "transient",
        kinds={
            *("TransportError", "APIConnectionError", "aiohttp.ClientError", "JSONDecodeError"),
            *("TimeoutError", "OSError"),
            *("SSLError", "ProtocolError", "IncompleteRead", "HTTPClientError"),
            *("APIResponseValidationError", "ResponseValidationError"),
            *("ModelRateLimitError", "ModelAPIError", "ModelConnectionError", "ModelTimeoutError"),
        },
        # how chat clients say that a body was none of a chat completion
        words=re.compile(r"'choices'|unexpected response type|no choices|no generations"),
    ),
)
"""What errors mean; the first line that fits says."""
