"""What stores of several makers answer, and what is said of it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, SSLError

from ccx.errors import CcxError, Transient
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
from ccx.storage.failures import translated

WHERE = Location("https://s3.example.net", "backups", "us-east-1")


def answered(code: str, status: int, message: str = "") -> ClientError:
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "PutObject")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answered("NoSuchBucket", 404), NoBucket),
        (answered("404", 404), NoObject),
        (answered("NoSuchKey", 404), NoObject),
        (answered("PreconditionFailed", 412), ObjectExists),
        (answered("SignatureDoesNotMatch", 403), WrongKeys),
        (answered("AccessDenied", 403), NotAllowed),
        (answered("Forbidden", 403), NotAllowed),
        (answered("AccessDenied", 403, "Object is WORM protected"), Locked),
        (answered("InternalError", 500, "no free volumes left"), Full),
        (answered("XMinioStorageFull", 507), Full),
        (answered("InternalError", 500), Unreachable),
        (answered("", 503), Unreachable),
        (answered("RequestTimeTooSkewed", 403), ClockSkewed),
        (answered("NotImplemented", 501), Unsupported),
        (answered("Teapot", 418), StoreRefused),
        (EndpointConnectionError(endpoint_url="https://s3.example.net"), Unreachable),
        (SSLError(endpoint_url="https://s3.example.net", error="expired"), Untrusted),
        (NoCredentialsError(), StoreRefused),
    ],
)
def test_each_answer_has_one_meaning_that_names_the_store_or_the_bucket(error: Exception, kind: type) -> None:
    said = translated(error, WHERE, "put an object")
    assert type(said) is kind
    assert isinstance(said, Transient) is (kind is Unreachable)
    assert "s3.example.net" in str(said) or "backups" in str(said)


def test_a_list_that_finds_nothing_misses_the_bucket_and_no_object() -> None:
    assert isinstance(translated(answered("404", 404), WHERE, "list what there is"), NoBucket)


def test_what_is_none_of_the_stores_errors_stays_as_it_is_and_long_reasons_are_cut() -> None:
    mine = KeyError("x")
    assert translated(mine, WHERE, "put an object") is mine
    long = translated(ValueError("x" * 500), WHERE, "put an object")
    assert isinstance(long, CcxError)
    assert len(long.err) < 350
