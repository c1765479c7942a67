"""For whom a caller may act."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.auth.identity import Identity
from ccx.auth.models import Role, User
from ccx.errors import CcxError, Invalid
from ccx.ids import new_id


def identity(role: Role = Role.USER) -> Identity:
    return Identity.of(User(id=new_id(), login="ada", role=role, first_name="", last_name=""))


def test_without_a_word_one_acts_for_oneself() -> None:
    me = identity()
    for header in (None, "", f"user:{me.user_id}"):
        assert me.acts_for(header) == ("user", me.user_id)


@given(st.sampled_from(["user", "org"]), st.uuids())
def test_only_operators_act_for_others(kind: str, other: UUID) -> None:
    assert identity(Role.OPERATOR).acts_for(f"{kind}:{other}") == (kind, other)
    with pytest.raises(CcxError) as refused:
        identity().acts_for(f"{kind}:{other}")
    assert refused.value.status == 403


@given(st.text())
def test_what_names_no_owner_is_refused_from_whomever(header: str) -> None:
    for role in Role:
        me = identity(role)
        try:
            kind, id_ = header.split(":", 1)
            assert kind in ("user", "org")
            UUID(id_)
        except (ValueError, AssertionError):
            if header:
                with pytest.raises(Invalid):
                    me.acts_for(header)
