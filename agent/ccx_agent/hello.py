"""The handshake."""

from __future__ import annotations

import platform

from . import PROTOCOLS
from .verb import Args, Progress, Verb
from .version import VERSION


def hello(_args: Args, _progress: Progress) -> dict[str, object]:
    release = platform.freedesktop_os_release()
    return {
        "agent_version": VERSION,
        "protocol": PROTOCOLS[0],
        "protocols": list(PROTOCOLS),
        "os": f"{release.get('ID', 'linux')} {release.get('VERSION_ID', '')}".strip(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


VERBS = {"hello": Verb(hello, mutates=False)}
