"""What errors mean, client by client, in the shapes in which their clients raise them."""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from langchain_core.exceptions import ContextOverflowError, ModelRateLimitError, OutputParserException
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from openai import APIError, BadRequestError, InternalServerError, LengthFinishReasonError, RateLimitError
from openai.types.chat import ChatCompletion
from openai.types.responses import ResponseError
from scripted import Counting
from wire import openai_says

from langgraph_maker import solve
from langgraph_maker.core.errors import SamplingError
from langgraph_maker.core.state import Request
from langgraph_maker.models.error_reading import reason
from langgraph_maker.models.failures import Failure, failure

REQUEST = httpx.Request("POST", "http://x")


class HTTPError(Exception):
    """What most clients raise: a status, headers and a body."""

    def __init__(self, status: int, message: str = "", body: Any = None, **headers: str) -> None:
        super().__init__(message)
        self.body = body
        self.response = httpx.Response(status, headers={name.replace("_", "-"): headers[name] for name in headers})


class ClientError(Exception):
    """As botocore's."""

    def __init__(self, code: str, message: str, status: int | None) -> None:
        super().__init__(f"An error occurred ({code}) when calling the Converse operation: {message}")
        self.response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}


class GoogleError(Exception):
    """As google-genai's."""

    def __init__(self, code: int, status: str, message: str, *details: Any) -> None:
        self.details = {"error": {"code": code, "message": message, "status": status, "details": [*details]}}
        super().__init__(f"{code} {status}. {self.details}")
        self.code, self.status, self.message = code, status, message


class OllamaError(Exception):
    """As ollama's ResponseError: of a line in a stream the status is −1."""

    def __init__(self, error: str, status: int = -1) -> None:
        super().__init__(error)
        self.error, self.status_code = error, status


def openai(kind: Any, status: int, **error: Any) -> Exception:
    response: Any = httpx.Response(status, request=REQUEST)
    raised: Exception = kind(f"Error code: {status} - {error.get('message')}", response=response, body=error)
    return raised


def mistral(status: int, body: Any) -> Exception:
    """Mistral's client tells the body in its text alone."""
    response = httpx.Response(status, request=REQUEST)
    said = f"Error response {status} while fetching http://x: {json.dumps(body)}"
    return httpx.HTTPStatusError(said, request=REQUEST, response=response)


def stream(type_: str, message: str) -> Exception:
    """Anthropic's error in a stream, whose status is 200."""
    return HTTPError(200, message, body={"type": "error", "error": {"type": type_, "message": message}})


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def kinds(*errors: Exception) -> set[str]:
    return {failure(error).kind if failure(error).flag is None else failure(error).flag.reason for error in errors}  # type: ignore[union-attr]


class TestByStatus:
    @pytest.mark.parametrize("status", [408, 409, 424, 425, 429, 500, 502, 503, 504, 529])
    def test_what_passes(self, status: int) -> None:
        assert kinds(HTTPError(status)) == {"transient"}

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 413, 422])
    def test_what_does_not(self, status: int) -> None:
        assert kinds(HTTPError(status)) == {"permanent"}

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"retry_after": "7"}, 7.0),
            ({"retry_after": "2.5"}, 2.5),
            ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
            ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),  # a date that has passed
            ({"retry_after": "soon"}, 0.0),
            ({"retry_after": "-5"}, 0.0),
            ({"retry_after": "9" * 400}, 0.0),
            ({}, 0.0),
        ],
    )
    def test_the_wait_that_a_provider_asks_for(self, headers: dict[str, str], seconds: float) -> None:
        assert failure(HTTPError(429, **headers)) == Failure("transient", seconds, busy=True, reached=True)


class TestByKind:
    def test_transport_passes(self) -> None:
        assert kinds(
            TimeoutError(),
            ConnectionResetError(),
            json.JSONDecodeError("Expecting value", "", 0),
            ValueError("Unexpected response type from OpenAI-compatible endpoint"),
            TypeError("Received response with null value for 'choices'."),
            caused(RuntimeError("the client failed"), ConnectionRefusedError()),
            ModelRateLimitError("slow down"),
        ) == {"transient"}

    def test_what_is_refused_on_this_side_or_is_a_bug_does_not(self) -> None:
        assert kinds(
            caused(ConnectionError(), ssl.SSLCertVerificationError()),
            PermissionError(),
            type("NoCredentialsError", (Exception,), {})("Unable to locate credentials"),
            TypeError("unsupported operand"),
            AttributeError("no attribute"),
        ) == {"permanent"}

    def test_the_rest_is_not_known(self) -> None:
        assert kinds(ValueError("odd"), type("OddError", (Exception,), {})("odd")) == {"unknown"}

    def test_certificates_say_nothing_of_a_provider(self) -> None:
        assert not failure(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")).reached


class TestOpenAI:
    @pytest.mark.parametrize(
        "error",
        [{"code": "insufficient_quota"}, {"code": None, "type": "insufficient_quota"}, {"type": "billing_error"}],
    )
    def test_a_used_up_quota_is_no_rate_limit(self, error: Any) -> None:
        used_up = openai(RateLimitError, 429, message="You exceeded your current quota.", **error)
        assert failure(used_up) == Failure("permanent", reached=True)

    def test_a_rate_limit_is(self) -> None:
        assert failure(openai(RateLimitError, 429, message="Rate limit reached", code="rate_limit_exceeded")).busy

    @pytest.mark.parametrize(
        "message",
        [
            "Could not finish the message because max_tokens or model output limit was reached. Try higher max_tokens.",
            "Generation stopped: output token limit has been reached",
        ],
    )
    def test_the_output_limit_as_an_error(self, message: str) -> None:
        assert kinds(openai(BadRequestError, 400, message=message)) == {"truncated"}

    def test_a_rate_limit_on_output_tokens_is_none_of_the_output_limit(self) -> None:
        said = "This request would exceed your limit: output tokens per minute has been reached"
        assert kinds(openai(RateLimitError, 429, message=said)) == {"transient"}

    def test_a_limit_that_is_refused_is_none_that_was_reached(self) -> None:
        too_large = "max_tokens is too large: 850. This model supports at most 512 completion tokens."
        assert kinds(openai(BadRequestError, 400, message=too_large)) == {"permanent"}

    def test_a_client_that_raises_over_the_length(self) -> None:
        completion = ChatCompletion.model_validate(openai_says({}, "length"))
        assert kinds(LengthFinishReasonError(completion=completion)) == {"truncated"}

    def test_a_filtered_prompt_and_one_that_is_too_long(self) -> None:
        assert kinds(
            openai(BadRequestError, 400, message="no", code="content_filter", param="prompt"),
            openai(BadRequestError, 400, message="no", code="invalid_prompt"),
            openai(BadRequestError, 400, message="It goes against the content policy", code="content_policy_violation"),
            openai(BadRequestError, 400, message="no", code="context_length_exceeded"),
            ContextOverflowError("prompt is too long"),
        ) == {"refusal"}

    def test_a_response_that_azure_withheld(self) -> None:
        said = "Azure has not provided the response due to a content filter being triggered"
        assert kinds(ValueError(said)) == {"truncated"}

    def test_output_that_the_server_could_not_read(self) -> None:
        said = "The model produced invalid content. Consider modifying your prompt."
        assert kinds(openai(InternalServerError, 500, message=said, type="server_error")) == {"malformed"}

    @pytest.mark.parametrize(
        "said", ["Invalid schema for function 'f'", "We could not parse the JSON body of your request"]
    )
    def test_a_bad_request_is_no_bad_output(self, said: str) -> None:
        assert kinds(openai(BadRequestError, 400, message=said)) == {"permanent"}

    @pytest.mark.parametrize(
        ("code", "kind"),
        [("server_error", "transient"), ("rate_limit_exceeded", "transient"), ("invalid_prompt", "refusal")],
    )
    def test_a_response_that_failed(self, code: Any, kind: str) -> None:
        assert kinds(ValueError(ResponseError(code=code, message="no"))) == {kind}

    def test_an_error_in_a_stream(self) -> None:
        request: Any = REQUEST
        assert kinds(APIError("oops", request, body={"code": "server_error", "message": "oops"})) == {"transient"}


class TestGateways:
    """OpenRouter, LiteLLM and others answer 200, or wrap what the provider behind them says."""

    @pytest.mark.parametrize(
        ("code", "kind"), [(429, "transient"), (502, "transient"), (402, "permanent"), (401, "permanent")]
    )
    def test_the_code_in_the_body_of_a_200(self, code: int, kind: str) -> None:
        error = {"message": "Provider returned error", "code": code, "metadata": {"raw": "upstream"}}
        assert kinds(ValueError(error)) == {kind}
        assert failure(ValueError(error)).busy is (code == 429)

    def test_an_input_that_a_moderator_flagged(self) -> None:
        error = {"message": "Your input was flagged", "code": 403, "metadata": {"flagged_input": "…"}}
        assert kinds(HTTPError(403, "refused", body={"error": error})) == {"refusal"}

    @pytest.mark.parametrize(
        ("said", "kind"),
        [
            ({"error": {"message": "Content Exists Risk"}}, "refusal"),
            ({"error": {"code": "data_inspection_failed", "message": "inappropriate content"}}, "refusal"),
            ({"error": {"code": "1301", "message": "sensitive"}}, "refusal"),
            ({"error": {"code": "Arrearage", "message": "overdue payment"}}, "permanent"),
        ],
    )
    def test_deepseek_alibaba_and_zhipu(self, said: Any, kind: str) -> None:
        assert kinds(HTTPError(400, "refused", body=said)) == {kind}


class TestQuotasInWords:
    """Where a client keeps no code of a quota that is used up, its words say so."""

    @pytest.mark.parametrize(
        "said",
        [
            "litellm.RateLimitError: OpenAIException - You exceeded your current quota, please check your plan",
            "You are using a Trial key, which is limited to 1000 API calls / month.",
            "Your team has either used all available credits or reached its monthly spending limit.",
            "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day",
            "Your account has run out of credits",
            "You have reached your specified API usage limits. You will regain access on 2027-01-01.",
            "The monthly usage limit has been reached",
        ],
    )
    def test_what_is_used_up(self, said: str) -> None:
        assert kinds(HTTPError(429, said), HTTPError(429, "", body={"message": said})) == {"permanent"}

    @pytest.mark.parametrize(
        "said",
        [
            "You are using a Trial key, which is limited to 20 API calls / minute.",
            "Rate limit reached for model m on tokens per day (TPD): Limit 100000, Used 99000. Please try again in 7m.",
            "Rate limit exceeded: free-models-per-min",
            "Service tier capacity exceeded for this model.",
        ],
    )
    def test_what_comes_back(self, said: str) -> None:
        assert kinds(HTTPError(429, said)) == {"transient"}


class TestAnthropic:
    def test_by_status(self) -> None:
        overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        assert failure(HTTPError(529, "Overloaded", body=overloaded)).busy
        credit = {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}
        assert kinds(HTTPError(400, "refused", body=credit)) == {"permanent"}

    def test_in_a_stream(self) -> None:
        assert kinds(stream("overloaded_error", "Overloaded"), stream("api_error", "Internal")) == {"transient"}
        assert kinds(stream("authentication_error", "invalid x-api-key")) == {"permanent"}

    def test_a_prompt_that_is_blocked_or_too_long(self) -> None:
        assert kinds(
            HTTPError(400, "Output blocked by content filtering policy"),
            HTTPError(400, "prompt is too long: 210000 tokens > 200000 maximum"),
        ) == {"refusal"}


class TestGemini:
    def test_a_quota_of_a_minute_passes_when_it_says_so(self) -> None:
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36s"}
        quota = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}
        error = GoogleError(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", quota, info)
        assert failure(error) == Failure("transient", 36.0, busy=True, reached=True)

    def test_one_of_a_day_does_not(self) -> None:
        quota = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
        assert kinds(GoogleError(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", quota)) == {"permanent"}

    def test_by_status(self) -> None:
        assert kinds(GoogleError(503, "UNAVAILABLE", "overloaded")) == {"transient"}
        assert kinds(GoogleError(400, "INVALID_ARGUMENT", "API key not valid")) == {"permanent"}


class TestBedrock:
    @pytest.mark.parametrize(
        ("code", "status"),
        [
            ("ThrottlingException", 429),
            ("ThrottlingException", None),
            ("ModelNotReadyException", 429),
            ("ModelTimeoutException", 408),
            ("ModelErrorException", 424),
            ("ModelStreamErrorException", None),
            ("ServiceUnavailableException", 503),
            ("InternalServerException", 500),
        ],
    )
    def test_what_passes(self, code: str, status: int | None) -> None:
        assert kinds(ClientError(code, "please wait", status)) == {"transient"}

    @pytest.mark.parametrize(
        ("code", "status"),
        [
            ("AccessDeniedException", 403),
            ("AccessDeniedException", None),
            ("ValidationException", 400),
            ("ValidationException", None),
            ("ResourceNotFoundException", 404),
            ("ExpiredTokenException", 403),
            ("ServiceQuotaExceededException", 400),
        ],
    )
    def test_what_does_not(self, code: str, status: int | None) -> None:
        assert kinds(ClientError(code, "no", status)) == {"permanent"}

    def test_a_tool_call_that_it_could_not_read(self) -> None:
        said = "Model produced invalid sequence as part of ToolUse."
        assert kinds(ClientError("ModelErrorException", said, 424)) == {"malformed"}


class TestMistral:
    def test_the_body_stands_in_the_text(self) -> None:
        assert failure(mistral(429, {"message": "Requests rate limit exceeded"})).busy
        assert kinds(mistral(401, {"message": "Unauthorized"})) == {"permanent"}


class TestGroq:
    @pytest.mark.parametrize("code", ["tool_use_failed", "json_validate_failed", "output_parse_failed"])
    def test_a_call_or_output_that_could_not_be_read(self, code: str) -> None:
        error = {"message": "Please adjust your prompt.", "code": code, "failed_generation": "<function"}
        assert kinds(HTTPError(400, "refused", body={"error": error})) == {"malformed"}


class TestLocalServers:
    def test_ollamas_error_lines(self) -> None:
        assert kinds(OllamaError("error parsing tool call: raw='{', err=unexpected end of JSON input")) == {"malformed"}
        assert kinds(OllamaError("server busy, please try again", 503)) == {"transient"}
        assert kinds(OllamaError("model 'm' not found", 404)) == {"permanent"}

    def test_llama_cpp(self) -> None:
        said = {"error": {"code": 500, "message": "Failed to parse input at pos 12: <tool>", "type": "server_error"}}
        assert kinds(HTTPError(500, "failed", body=said)) == {"malformed"}


class TestOfTheClient:
    """An exception of the client over what it was answered."""

    def test_output_that_it_could_not_parse(self) -> None:
        assert kinds(OutputParserException("arguments are not valid JSON")) == {"malformed"}

    @pytest.mark.parametrize("error", [AttributeError("'NoneType'"), TypeError("int"), KeyError("x"), RecursionError()])
    def test_a_response_that_it_cannot_read_is_malformed(self, error: Exception) -> None:
        class Client(FakeListChatModel):
            def _call(self, *_: Any, **__: Any) -> str:
                raise error

        with pytest.raises(type(error)) as caught:
            Client(responses=["7"]).invoke("?")
        assert kinds(caught.value) == {"malformed"}

    def test_an_argument_that_it_does_not_know_is_not(self) -> None:
        class Client(FakeListChatModel):
            def _call(self, *_: Any, **__: Any) -> str:
                raise TypeError("create() got an unexpected keyword argument 'n'")

        with pytest.raises(TypeError) as caught:
            Client(responses=["7"]).invoke("?")
        assert kinds(caught.value) == {"permanent"}


class TestKindsOfWords:
    """Of each kind, in the words of several providers."""

    @pytest.mark.parametrize(
        ("status", "said", "means"),
        [
            (403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO", "refusal"),
            (400, "Violated guardrail policy", "refusal"),
            (400, "litellm.ContentPolicyViolationError: no", "refusal"),
            (400, "Your request was rejected by the safety system. safety_violations=[violence]", "refusal"),
            (400, "input new_sensitive (1026)", "refusal"),
            (400, "The request was rejected because it was considered high risk", "refusal"),
            (400, "Input data may contain inappropriate content.", "refusal"),
            (400, "This model's maximum prompt length is 131072 but the request contains 140000 tokens.", "refusal"),
            (400, "Input is too long for requested model.", "refusal"),
            (400, "the request exceeds the available context size", "refusal"),
            (400, "Range of input length should be [1, 30720]", "refusal"),
            (500, "Failed to parse tool call arguments as JSON", "malformed"),
            (500, "XML syntax error on line 3: element <function> closed by </parameter>", "malformed"),
            (500, "Error in extracting tool call from response.", "malformed"),
            (500, "The model's output was not valid JSON", "malformed"),
            (500, "error decoding response body from upstream", "transient"),
            (429, "Insufficient account balance", "permanent"),
            (429, "Your credits are exhausted", "permanent"),
            (403, "Payment required to use this model", "permanent"),
            (400, "Access denied, please make sure your account is in good standing: Arrearage", "permanent"),
            (429, "Billing hard limit has been reached", "permanent"),
            (403, "Your organization has been suspended for violating our usage policies", "permanent"),
            (
                429,
                "Requests exceeded token rate limit of your pricing tier. Please retry after 6 seconds.",
                "transient",
            ),
            (429, "Request too large on tokens per min: Limit 30000, Requested 40000.", "permanent"),
            (429, "Rate limit on tokens per min: Limit 30000, Used 29000, Requested 5000.", "transient"),
        ],
    )
    def test_means(self, status: int, said: str, means: str) -> None:
        assert kinds(HTTPError(status, "no", body={"error": {"message": said}})) == {means}

    @pytest.mark.parametrize(
        ("code", "means"),
        [
            ("InputTextSensitiveContentDetected", "refusal"),
            ("exceed_context_size_error", "refusal"),
            ("insufficient_user_quota", "permanent"),
            ("Arrearage", "permanent"),
        ],
    )
    def test_of_codes(self, code: str, means: str) -> None:
        assert kinds(HTTPError(400, "no", body={"error": {"message": "no", "code": code}})) == {means}

    @pytest.mark.parametrize(
        ("status", "of_prompt"), [(400, True), (403, True), (422, True), (401, False), (404, False)]
    )
    def test_what_may_be_about_one_prompt(self, status: int, of_prompt: bool) -> None:
        assert failure(HTTPError(status, "no")).of_prompt is of_prompt

    def test_no_wait_is_longer_than_can_be_said(self) -> None:
        assert failure(HTTPError(429, retry_after="1e308")).wait <= 1e9

    @pytest.mark.parametrize(("asked", "said"), [("1e308", "1,000,000,000 s"), ("1e9", "1,000,000,000 s")])
    def test_a_wait_that_is_longer_than_an_outage_is_said_in_seconds(self, asked: str, said: str) -> None:
        async def full(requests: Sequence[Request]) -> list[AIMessage | Exception]:
            return [HTTPError(429, retry_after=asked) for _ in requests]

        with pytest.raises(SamplingError, match=f"it asks to wait {said} ") as failed:
            solve(Counting(2), full)
        assert len(str(failed.value)) < 500


class TestReason:
    """The provider's own words, where the client leaves them out."""

    @pytest.mark.parametrize(
        "body",
        [
            {"detail": "Invalid n value"},
            {"detail": [{"loc": ["body", "n"], "msg": "Invalid n value"}]},
            {"error": "Invalid n value"},
            '{"error": {"message": "Invalid n value"}}',
        ],
    )
    def test_from_the_body(self, body: Any) -> None:
        assert reason(HTTPError(400, "Error code: 400", body=body)) == "Error code: 400 - Invalid n value"

    def test_once(self) -> None:
        assert reason(HTTPError(400, "Invalid n value", body={"detail": "Invalid n value"})) == "Invalid n value"

    def test_first_where_a_client_puts_headers_before_them(self) -> None:
        body = {"message": "Invalid n value"}
        said = f"headers: {'x' * 300}, status_code: 400, body: {body}"
        assert reason(HTTPError(400, said, body=body)).startswith("Invalid n value (headers: x")

    def test_of_errors_without_a_text(self) -> None:
        class OddError(Exception):
            def __str__(self) -> str:
                raise RuntimeError

        deep: Any = []
        for _ in range(10**5):
            deep = [deep]
        for error in (OddError(), ValueError(deep), ValueError("\ud800")):
            assert failure(error).kind == "unknown"
            assert reason(error).encode()

    def test_of_a_circle_of_causes(self) -> None:
        class Equal(Exception):  # noqa: N818
            def __eq__(self, other: object) -> bool:
                raise RuntimeError

            __hash__ = Exception.__hash__

        one, other = Equal("one"), Equal("other")
        one.__cause__, other.__cause__ = other, one
        assert reason(one) == "one"

    def test_bounded(self) -> None:
        deep: Any = "x" * 10**6
        for _ in range(10**4):
            deep = {"error": deep}
        assert len(reason(HTTPError(400, "x" * 10**6, body=deep))) == 1000
