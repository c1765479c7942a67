"""A real cloud in small, on one Linux machine: nodes are machine containers with an init, an address and a volume.

A root daemon (``daemon``) owns everything; :class:`LocalCloud` is its client and all that others need.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccx.clouds.local.driver import LocalCloud

__all__ = ["LocalCloud"]


def __getattr__(name: str) -> object:
    # Late: the daemon needs no HTTP client, and stays small without one.
    if name == "LocalCloud":
        from ccx.clouds.local.driver import LocalCloud

        return LocalCloud
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
