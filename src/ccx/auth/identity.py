"""Whom a request comes from, and for whom it may act."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ccx.auth.models import Role, User
from ccx.errors import CcxError, Invalid

Owner = tuple[str, UUID]
"""``("user" | "org", id)``, as the stores have it."""


@dataclass(frozen=True)
class Scope:
    """Somebody that a user may act for: the user itself, or an organisation."""

    id: UUID
    name: str
    type: str
    role: str


@dataclass(frozen=True)
class Identity:
    """An authenticated caller."""

    user_id: UUID
    login: str
    first_name: str
    last_name: str
    role: Role
    scopes: tuple[Scope, ...]
    """The default one first: existing clients take it."""

    @classmethod
    def of(cls, user: User) -> Identity:
        """The user's identity. Organisations will follow the user's own scope."""
        own = Scope(id=user.id, name=user.login, type="user", role=user.role.value)
        return cls(user.id, user.login, user.first_name, user.last_name, user.role, (own,))

    @property
    def actor(self) -> str:
        """How the audit names the caller."""
        return f"user:{self.user_id}"

    @property
    def is_operator(self) -> bool:
        return self.role is Role.OPERATOR

    def owns(self, owner: Owner) -> bool:
        """Whether one of the caller's own scopes is that owner."""
        return owner in ((scope.type, scope.id) for scope in self.scopes)

    def acts_for(self, header: str | None) -> Owner:
        """The owner that ``CCX-Owner`` names, or else the default scope's.

        Raises Invalid for what is no owner, and 403 for somebody that the caller may not act for. Operators may for
        everybody.
        """
        if not header:
            return self.scopes[0].type, self.scopes[0].id
        kind, _, id_ = header.partition(":")
        try:
            owner = kind, UUID(id_)
        except ValueError:
            owner = "", self.user_id
        if owner[0] not in ("user", "org"):
            raise Invalid("this names no owner", field="CCX-Owner", remedy="Send user:<uuid> or org:<uuid>, or nothing")
        if not self.owns(owner) and not self.is_operator:
            raise CcxError(
                f"you can't act for {kind}:{owner[1]}",
                status=403,
                field="CCX-Owner",
                remedy="Send one of the scopes that the log-in answered, or nothing",
            )
        return owner
