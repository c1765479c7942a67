"""SCRAM verifiers: against the standard's own example."""

from __future__ import annotations

import base64
import hmac

from hypothesis import given
from hypothesis import strategies as st

from ccx.cmon.engines.postgres.scram import verifier


def test_the_verifier_signs_what_the_standards_example_signs() -> None:
    # RFC 7677, section 3: user "user", password "pencil".
    made = verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    scheme, rounds_and_salt, keys = made.split("$")
    assert (scheme, rounds_and_salt) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    message = (
        "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = hmac.digest(base64.b64decode(keys.split(":")[1]), message.encode(), "sha256")
    assert base64.b64encode(signature).decode() == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_same_text_in_two_forms_is_one_password() -> None:
    salt = b"0123456789abcdef"
    assert verifier("caf\u00e9", salt) == verifier("cafe\u0301", salt)
    assert verifier("a\u00adb", salt) == verifier("ab", salt)
    assert verifier("x\u00a0y", salt) == verifier("x y", salt)


@given(st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()))
def test_a_verifier_tells_nothing_and_is_another_each_time(password: str) -> None:
    first = verifier(password)
    assert first != verifier(password)
    assert len(password) < 8 or password not in first
