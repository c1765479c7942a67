"""Who is calling: users and their passwords, sessions, OAuth2 clients, tokens, scopes.

Faces call :func:`identify` with what a request carries, and get an :class:`Identity` or ``Unauthenticated``.
"""

from ccx.auth.clients import create_client, delete_client, exchange, list_clients
from ccx.auth.identity import Identity, Scope
from ccx.auth.models import Client, Role, User
from ccx.auth.throttle import TooManyFailures
from ccx.auth.tokens import close_session, identify, open_session
from ccx.auth.users import NewUser, admit_sign_up, ensure_operator, log_in, register

__all__ = [
    "Client",
    "Identity",
    "NewUser",
    "Role",
    "Scope",
    "TooManyFailures",
    "User",
    "admit_sign_up",
    "close_session",
    "create_client",
    "delete_client",
    "ensure_operator",
    "exchange",
    "identify",
    "list_clients",
    "log_in",
    "open_session",
    "register",
]
