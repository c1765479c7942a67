"""What this node's kernel saw of the connections that were opened from here; the control plane makes sense of it."""

from __future__ import annotations

import hashlib
import pwd
from pathlib import Path

from .process import output
from .verb import Args, Progress, Verb

_LIST = ("nft", "-j", "list", "table", "inet", "ccx_observed")
_ALLOWED = ("nft", "-j", "list", "table", "inet", "ccx_egress")
_RULES = Path("/etc/ccx/egress/rules.nft")


def egress_observed(_args: Args, _progress: Progress) -> dict[str, object]:
    """Two listings of the kernel's sets, one after the other, as nft prints them; and what they need to be read.

    ``allowed`` lists the rules, whose sets hold the addresses that names have. ``users`` are the names of this node's
    users, ``rules`` is the digest of the file that decides on egress here.
    """
    tried = output(_LIST)
    return {
        "tried": tried,
        "passed": output(_LIST),
        "allowed": output(_ALLOWED, check=False),
        "users": {str(user.pw_uid): user.pw_name for user in pwd.getpwall()},
        "rules": hashlib.sha256(_RULES.read_bytes()).hexdigest() if _RULES.exists() else "",
    }


VERBS = {"egress-observed": Verb(egress_observed, mutates=False)}
