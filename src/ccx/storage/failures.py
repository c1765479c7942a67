"""What a store answered, in words that a person can act on."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    SSLError,
)

from ccx.storage.base import (
    ClockSkewed,
    Full,
    Location,
    Locked,
    NoBucket,
    NoObject,
    NotAllowed,
    ObjectExists,
    StoreRefused,
    Unreachable,
    Unsupported,
    Untrusted,
    WrongKeys,
)

_BY_CODE: dict[str, type[StoreRefused]] = {
    **dict.fromkeys(("NoSuchBucket", "NotFound.Bucket"), NoBucket),
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"), WrongKeys),
    **dict.fromkeys(("InvalidClientTokenId", "AuthFailure"), WrongKeys),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "AccountProblem", "403", "MethodNotAllowed"), NotAllowed),
    **dict.fromkeys(("PermanentRedirect", "AuthorizationHeaderMalformed", "301"), NotAllowed),
    **dict.fromkeys(("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "EntityTooLarge", "507"), Full),
    **dict.fromkeys(("XMinioAdminBucketQuotaExceeded", "InsufficientCapacity"), Full),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), ClockSkewed),
    **dict.fromkeys(("NotImplemented", "501"), Unsupported),
}
_LATER = {
    "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "Throttling", "500", "502", "503", "504",
}  # fmt: skip
_REMEDIES: dict[type[StoreRefused], str] = {
    NoBucket: "Make the bucket, or correct s3_bucket",
    WrongKeys: "Correct the keys: s3_credentials, or <CODE>_S3_ACCESSKEY and <CODE>_S3_SECRETKEY",
    NotAllowed: "Let these keys read, write, list and delete in the bucket, or name a bucket that is yours",
    Full: "Make room, or raise the quota; older backups go by their retention",
    ClockSkewed: "Have both machines keep time by NTP",
    Unsupported: "Use a store that can, or do without",
}


def translated(error: Exception, where: Location, what: str) -> Exception:
    """The error to raise for what boto3 raised when it was to do ``what`` (``put an object``)."""
    store = f"the object store {where.endpoint}"
    if isinstance(error, ClientError):
        return _refusal(error, where, store, what)
    if isinstance(error, SSLError):
        return Untrusted(
            f"{store} shows a certificate that can't be trusted: {_reason(error)}",
            field="s3_ca",
            remedy="Name the CA that signs it in s3_ca; the host in s3_endpoint must be one that it is made out to",
        )
    if isinstance(error, EndpointConnectionError | ConnectionClosedError | HTTPClientError):
        return Unreachable(f"{store} does not answer: {_reason(error)}")
    if isinstance(error, BotoCoreError | ValueError):
        return StoreRefused(
            f"{store} can't be asked to {what}: {_reason(error)}", remedy="Correct the cloud's s3_… settings"
        )
    return error


def _refusal(error: ClientError, where: Location, store: str, what: str) -> Exception:
    answer = error.response.get("Error", {})
    code = str(answer.get("Code", ""))
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    said = str(answer.get("Message") or code or status)
    if code in ("PreconditionFailed", "412", "ConditionalRequestConflict"):
        return ObjectExists(f"there is an object of that key in {where.bucket}")
    if code in ("NoSuchKey", "NoSuchVersion") or (code == "404" and "object" in what):
        return NoObject(f"there is no such object in the bucket {where.bucket}")
    if "object lock" in said.lower() or "worm" in said.lower() or code == "ObjectLocked":
        return Locked(f"an object in {where.bucket} is locked: {said}", remedy="Wait until its time is over")
    if "no free volumes" in said.lower() or "no space left" in said.lower() or "no writable volumes" in said.lower():
        return _known(Full, where, store, what, said)
    if code == "404":
        return _known(NoBucket, where, store, what, said)
    if (kind := _BY_CODE.get(code) or _BY_CODE.get(status)) is not None:
        return _known(kind, where, store, what, said)
    if code in _LATER or status in _LATER:
        return Unreachable(f"{store} could not {what}: {said}")
    return StoreRefused(f"{store} would not {what} in {where.bucket}: {said} ({code})")


def _known(kind: type[StoreRefused], where: Location, store: str, what: str, said: str) -> StoreRefused:
    field = {NoBucket: "s3_bucket", WrongKeys: "s3_credentials"}.get(kind)
    if kind is NoBucket:
        return kind(f"{store} has no bucket {where.bucket!r}", field=field, remedy=_REMEDIES[kind])
    return kind(f"{store} would not {what} in {where.bucket}: {said}", field=field, remedy=_REMEDIES[kind])


def _reason(error: Exception) -> str:
    inner: BaseException = error
    while (cause := inner.__cause__ or inner.__context__) is not None and cause is not inner:
        inner = cause
    text = " ".join(str(inner).split()) or type(inner).__name__
    return text if len(text) < 200 else text[:200] + " …"
