"""Why the backup tool failed, in words that a person can act on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ccx.errors import CcxError, Transient


class StoreTrouble(CcxError, Transient):
    """Something between the node and the object store, which may be over later: jobs try again."""

    status = 502


class StoreRefusal(CcxError):
    """The store answers, and says no: trying again helps nobody."""

    status = 502


@dataclass(frozen=True)
class _Known:
    said: re.Pattern[str]
    cause: str
    remedy: str
    passes: bool = True


def _known(said: str, cause: str, remedy: str, *, passes: bool = True) -> _Known:
    return _Known(re.compile(said, re.IGNORECASE), cause, remedy, passes)


_AGAIN = "; the next backup is tried by itself"
# The first that fits holds: what is particular stands before what is general.
_CAUSES = (
    _known(
        r"no room for a copy on the node's volume",
        "the volume of the node that makes it is too full for a copy of the data",
        "Remove data, or have a datastore with larger volumes take its place", passes=False,
    ),
    _known(
        r"no space left|\b507\b|insufficient ?storage|quota ?exceeded|no (free|writable) volumes|storage ?full",
        "the object store is full", f"Make room in it, or raise the quota{_AGAIN}",
    ),
    _known(
        r"unable to verify certificate|certificate (verify failed|has expired)|self.signed certificate|x509:",
        "the object store shows a certificate that the node can't trust",
        "Name the CA that signs it in s3_ca; its name must be that of s3_endpoint", passes=False,
    ),
    _known(
        r"RequestTimeTooSkewed|difference between the request time",
        "the node's clock and the object store's differ too much", "Have both keep time by NTP",
    ),
    _known(
        r"NoSuchBucket|specified bucket does not exist",
        "the object store has no such bucket", "Make the bucket, or correct s3_bucket", passes=False,
    ),
    _known(
        r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|\b40[13] \(",
        "the object store refuses the datastore's keys",
        "See that its keys may read and write below the datastore's prefix: ccx storage check", passes=False,
    ),
    _known(
        r"\b429 \(|SlowDown|\b503 \(|service ?unavailable",
        "the object store is overloaded or restarts (503)", f"See its own log{_AGAIN}",
    ),
    _known(r"\b5\d\d \(|InternalError", "the object store fails", f"See its own log{_AGAIN}"),
    _known(
        r"connect to (local )?server|server has gone away|lost connection to (server|mysql)"
        r"|terminating connection|server closed the connection|unable to find primary|is in recovery"
        r"|recovery is in prog|cluster is not running|has been promoted|timeline|pg_backup_stop"
        r"|database system is (shutting|starting)",
        "the database was restarted, or another node became primary", "Nothing: the backup begins again there",
    ),
    _known(
        r"WAL segment .* was not archived|archive timeout",
        "the log does not get into the object store", "See why archiving fails: ccx datastore show",
    ),
    _known(
        r"unable to (connect|get address|read|write)|timeout|connection (refused|reset)|unexpected eof|no route to host"
        r"|TLS error|dial tcp|no such host",
        "the object store does not answer", f"See that it runs, and that nodes reach it: ccx network probe{_AGAIN}",
    ),
)  # fmt: skip


def why(said: str, what: str) -> CcxError:
    """The error to raise where the tool ``said`` that, and ``what`` was to be done (``back up on n1g1``).

    Its own words stay in it, but for their beginning, which says how it logs.
    """
    words = re.sub(r"^.*?(P\d\d\s+)?(ERROR|WARN|FATAL): *", "", " ".join(said.split()))[:300]
    known = next((one for one in _CAUSES if one.said.search(said)), None)
    if known is None:
        return StoreTrouble(f"could not {what}: {words}", remedy="Try again; the tool's own words tell what is wrong")
    kind = StoreTrouble if known.passes else StoreRefusal
    return kind(f"could not {what}: {known.cause} ({words})", remedy=known.remedy)
