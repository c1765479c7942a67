"""What an answer means for its row: whether it works, what is odd about it, and what to do when it doesn't."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ccx.network import catalogue
from ccx.network.hosts import covers
from ccx.network.kinds import Plane, Status
from ccx.network.plan import Row
from ccx.network.probe.targets import Target
from ccx.network.template import is_template
from ccx_probe import Answer

SOON_DAYS = 14
"""A certificate that expires within as many days is worth a word."""

_FROM = {
    Plane.CONTROL: "the control plane",
    Plane.DATA: "the datastores' nodes",
    Plane.BROWSER: "users' browsers",
    Plane.INSTALL: "the machine that installs",
    Plane.INTERNAL: "the services",
}
_DISTRUSTED = ("untrusted", "self-signed", "wrong-name")


class Result(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "not probed"


@dataclass(frozen=True)
class Outcome:
    """One host of a row, tried."""

    target: Target
    result: Result
    why: str = ""
    """Why it failed, or was not probed, or what is odd although it works."""
    remedy: str = ""
    answer: Answer | None = None

    @property
    def row(self) -> Row:
        return self.target.row

    def breaks(self, *, planned: bool = False) -> bool:
        """Whether the system can't do its work because of it. Rows of what is not built yet count if ``planned``."""
        counts = self.row.required and (planned or self.row.status is not Status.PLANNED)
        return self.result is Result.FAILED and counts

    @property
    def rule(self) -> str:
        """What a firewall has to let through."""
        transport = self.row.protocol.transport.upper()
        return f"allow {transport} {self.row.port} from {_FROM[self.row.plane]} to {self.target.host}"


def judge(target: Target, answer: Answer | None) -> Outcome:
    """``answer`` is None for what can't be tried."""
    if answer is None:
        return Outcome(target, Result.SKIPPED, target.skipped)
    if answer.ok:
        return Outcome(target, Result.OK, _odd(target, answer), answer=answer)
    failed = Outcome(target, Result.FAILED, _why(target, answer), answer=answer)
    return Outcome(target, Result.FAILED, failed.why, _remedy(failed, answer), answer)


def _odd(target: Target, answer: Answer) -> str:
    shown = answer.certificate
    if shown and shown.days < SOON_DAYS:
        return f"its certificate expires in {shown.days} days, on {shown.expires}"
    if answer.redirect and not any(covers(host, answer.redirect) for host in target.row.hosts):
        return f"it sends on to {answer.redirect}, which the row does not hold"
    return ""


def _why(target: Target, answer: Answer) -> str:
    shown = answer.certificate
    if answer.code in _DISTRUSTED and shown and _is_public(target):
        return f"an inspecting proxy (middlebox) answers in place of {target.host}: its certificate is by {shown.root}"
    return answer.err


def _remedy(failed: Outcome, answer: Answer) -> str:
    host, row = failed.target.host, failed.row
    if answer.stage == "proxy":
        if answer.code == "proxy-auth":
            return "Give its user and password: in ccx.yaml's egress_proxy, or in CCX_EGRESS_PROXY"
        if answer.code in ("proxy-refused", "proxy-failed"):
            return f"On the proxy {row.via}, allow {host}:{row.port}"
        return f"Allow TCP to the proxy {row.via} from {_FROM[row.plane]}, or correct egress_proxy"
    if answer.code == "dns-timeout":
        return "Let the resolver answer: allow UDP and TCP 53 to it"
    if answer.stage == "dns":
        return f"Have the resolver know {host}; then {failed.rule}"
    if answer.code in _DISTRUSTED and _is_public(failed.target):
        return f"Exempt {host} from inspection, or add the inspecting CA to those that are trusted here"
    if answer.code in ("untrusted", "self-signed"):
        return f"Add the CA of {host} to those that are trusted here"
    if answer.code in ("expired", "not-yet-valid", "wrong-name"):
        return f"Renew or correct the certificate of {host}, and look whether this machine's clock is right"
    if answer.code == "server-error":
        return f"Look after {host}; the way to it is open"
    return failed.rule[0].upper() + failed.rule[1:]


def _is_public(target: Target) -> bool:
    """Whether the contract itself names the host, so that a CA of nobody's can't be its own."""
    declared = catalogue.load().get(target.row.id)
    if declared is None:
        return False
    named = isinstance(declared.host, str) and not is_template(declared.host) and declared.host == target.row.host
    return named or target.host in declared.behind
