"""A real cloud in small, on one Linux machine: nodes are machine containers with an init, an address and a volume.

A root daemon (``daemon``) owns everything; :class:`LocalCloud` is its client and all that others need.
"""

from ccx.clouds.local.driver import LocalCloud

__all__ = ["LocalCloud"]
