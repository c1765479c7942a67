"""A person's decision about a Galera group that nobody may begin again: this node's data shall be everybody's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from .errors import AgentError
from .process import output
from .verb import Args, Progress, Verb, text

_VOLUME = Path("/var/lib/ccx-data/mysql")


def bootstrap(args: Args, _progress: Progress) -> dict[str, object]:
    """``file``: made, for the script that starts the server; ``unit``: that script's, which begins again.

    Should a group serve by then, the script joins it, and the file is gone: a decision is good for one start.
    """
    path, unit = Path(text(args, "file")), text(args, "unit")
    if path.parent != _VOLUME or not unit.startswith("ccx-"):
        raise AgentError(f"{path} or {unit} is not the control plane's")
    path.touch(mode=0o600)
    user = pwd.getpwnam("mysql")
    os.chown(path, user.pw_uid, user.pw_gid)
    output(["systemctl", "--no-block", "restart", unit])
    return {}


VERBS = {"galera-bootstrap": Verb(bootstrap, mutates=True)}
