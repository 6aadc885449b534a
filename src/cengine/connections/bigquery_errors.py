"""What goes wrong at BigQuery, told as what to do about it."""

from __future__ import annotations

from cengine.errors import CengineError, PreprocessError, SourceError

# Reasons that pass by themselves.
TRANSIENT_REASONS = frozenset(
    {"rateLimitExceeded", "backendError", "internalError", "badGateway", "jobBackendError", "jobInternalError"}
)
COMMIT = "take a new snapshot: cengine datasource commit"
AGAIN = "run the command again: what is finished is kept"


def reason_of(error: BaseException) -> str:
    """BigQuery's own word for what is wrong, empty where it gives none."""
    details = getattr(error, "errors", None)
    first = details[0] if details else None
    return str(first.get("reason", "")) if isinstance(first, dict) else ""


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed a little later."""
    from google.api_core import exceptions
    from google.auth.exceptions import TransportError
    from requests.exceptions import ChunkedEncodingError, SSLError, Timeout
    from requests.exceptions import ConnectionError as Unconnected

    reason = reason_of(error)
    if reason:
        return reason in TRANSIENT_REASONS
    passing = (exceptions.TooManyRequests, exceptions.InternalServerError, exceptions.BadGateway, exceptions.ServiceUnavailable,
               exceptions.GatewayTimeout, ChunkedEncodingError, Unconnected, Timeout, ConnectionError, TransportError)  # fmt: skip
    # gRPC says of a quota that is used up what it says of too many calls at once.
    return isinstance(error, passing) and not isinstance(error, SSLError | exceptions.ResourceExhausted)


def told(error: BaseException) -> str:
    """What Google says, in one line, without the call's address and the job's number."""
    text = str(getattr(error, "message", None) or error).strip()
    line = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    for method in ("GET ", "POST "):
        if line.startswith(method) and ": " in line:
            line = line.partition(": ")[2]
    return line.partition("; reason: ")[0].rstrip(". ")


def give_up(error: BaseException) -> SourceError:
    """What is told when retries did not help."""
    return SourceError(f"BigQuery cannot be reached: {told(error)}", AGAIN)


def translated(error: BaseException, paying: str) -> CengineError:
    """Google's exception as one of ours; `paying` is the project that pays."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError, TransportError

    if isinstance(error, exceptions.RetryError) and error.cause is not None:
        return give_up(error.cause)
    if (isinstance(error, GoogleAuthError) and not isinstance(error, TransportError)) or isinstance(
        error, exceptions.Unauthorized
    ):
        return SourceError(
            f"the credentials for BigQuery are expired or not valid: {told(error)}",
            "log in again: gcloud auth application-default login",
            "or give another key: --credentials key.json",
        )
    text, reason = told(error), reason_of(error)
    if is_transient(error):
        return give_up(error)
    if reason == "quotaExceeded" or isinstance(error, exceptions.ResourceExhausted):
        return SourceError(
            f"a quota of the project {paying} is used up: {text}",
            "wait until it is filled again, or have it raised in the console of Google Cloud under Quotas",
            AGAIN,
        )
    if isinstance(error, exceptions.Forbidden) and reason in ("responseTooLarge", "billingNotEnabled"):
        return _limit(reason, text, paying)
    if isinstance(error, exceptions.Forbidden):
        return SourceError(
            f"BigQuery does not allow it: {text}",
            "the account needs roles/bigquery.dataViewer on the table, and in the project that pays "
            f"({paying}) roles/bigquery.jobUser and roles/bigquery.readSessionUser",
            "another project pays with --billing-project, another account asks with --credentials",
        )
    if isinstance(error, exceptions.NotFound):
        return SourceError(
            f"BigQuery does not find it: {text}",
            "the table may have been deleted or made anew since it was registered",
            COMMIT,
        )
    if "time travel" in text or "snapshot time" in text.lower():
        return SourceError(
            f"the rows of the snapshot's time are kept no more: {text}",
            "BigQuery keeps older rows for 7 days at most",
            COMMIT,
        )
    if reason in ("resourcesExceeded", "responseTooLarge"):
        return _limit(reason, text, paying)
    if isinstance(error, exceptions.ClientError):
        return PreprocessError(f"BigQuery refuses the query: {text}")
    return SourceError(f"BigQuery failed: {text}", AGAIN)


def _limit(reason: str, text: str, paying: str) -> CengineError:
    if reason == "billingNotEnabled":
        return SourceError(
            f"the project {paying} has no billing account: {text}", "let another project pay: --billing-project PROJECT"
        )
    return PreprocessError(
        f"this is more than BigQuery does in one query: {text}", "take fewer rows with `where`, or fewer features"
    )
