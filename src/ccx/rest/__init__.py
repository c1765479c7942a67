"""The REST API (18091, behind HTTPS on the public port): translate, check, hand down. One router per resource.

Ownership, the error shape, the transaction and idempotency keys come from ``deps`` and ``routing``, once.
"""

from ccx.rest.app import create_app
from ccx.rest.context import RestContext

__all__ = ["RestContext", "create_app"]
