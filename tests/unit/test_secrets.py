"""Keys and their recovery copy; the vault itself is tested on a real database."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.errors import CcxError, Conflict, Invalid, NotFound
from ccx.secrets import KeyRing, export_recovery, import_recovery, new_password

RING = KeyRing({1: b"a" * 32})


@settings(deadline=None)
@given(st.binary(), st.binary())
def test_what_is_sealed_opens_with_the_same_context_only(value, context):
    version, nonce, ciphertext = RING.seal(value, context=context)
    assert RING.open(version, nonce, ciphertext, context=context) == value
    with pytest.raises(CcxError):
        RING.open(version, nonce, ciphertext, context=context + b"x")


def test_a_changed_ciphertext_does_not_open():
    version, nonce, ciphertext = RING.seal(b"value", context=b"")
    with pytest.raises(CcxError, match="does not open"):
        RING.open(version, nonce, bytes([ciphertext[0] ^ 1]) + ciphertext[1:], context=b"")


def test_the_newest_key_seals_and_older_ones_still_open():
    sealed = RING.seal(b"old", context=b"")
    ring = RING.rotated()
    assert ring.seal(b"new", context=b"")[0] == 2
    assert ring.open(*sealed, context=b"") == b"old"
    with pytest.raises(CcxError, match="version 2 is missing"):
        RING.open(*ring.seal(b"new", context=b""), context=b"")


def test_the_file_is_private_and_loads_again(tmp_path):
    made = KeyRing.create(tmp_path)
    path = tmp_path / "wrapping.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyRing.load(tmp_path).to_lines() == made.to_lines() == KeyRing.load(path).to_lines()
    made.rotated().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyRing.load(path).newest == 2
    assert [p.name for p in tmp_path.iterdir()] == ["wrapping.key"]


def test_an_existing_key_is_never_overwritten_and_a_missing_one_is_named(tmp_path):
    with pytest.raises(NotFound, match=r"wrapping\.key"):
        KeyRing.load(tmp_path)
    KeyRing.create(tmp_path)
    with pytest.raises(Conflict):
        KeyRing.create(tmp_path)


def test_a_key_that_could_not_be_written_leaves_none_behind(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            KeyRing.create(tmp_path)

    made = KeyRing.create(tmp_path)
    assert KeyRing.load(tmp_path).to_lines() == made.to_lines()
    assert [file.name for file in tmp_path.iterdir()] == ["wrapping.key"]


def test_a_key_that_others_may_read_is_refused(tmp_path):
    KeyRing.create(tmp_path)
    (tmp_path / "wrapping.key").chmod(0o640)
    with pytest.raises(Invalid, match="0640"):
        KeyRing.load(tmp_path)


def test_a_damaged_file_is_refused_without_quoting_it(tmp_path):
    path = tmp_path / "wrapping.key"
    path.write_text('{"version": 1, "key": "c2VjcmV0LXBhcnQ')
    path.chmod(0o600)
    with pytest.raises(Invalid) as refused:
        KeyRing.load(path)
    assert "line 1" in str(refused.value)
    assert "c2VjcmV0" not in str(refused.value)


def test_a_recovery_copy_opens_with_its_passphrase_only():
    text = export_recovery(RING.rotated(), "correct horse battery")
    assert import_recovery(f"noise\n{text}\n", "correct horse battery").newest == 2
    with pytest.raises(Invalid, match="passphrase"):
        import_recovery(text, "correct horse staple")


@pytest.mark.parametrize("damage", [lambda t: t[:-40], lambda t: t.replace("\n", "\n!", 3), lambda t: ""])
def test_a_damaged_recovery_copy_is_refused(damage):
    text = export_recovery(RING, "correct horse battery")
    with pytest.raises(Invalid, match="recovery copy"):
        import_recovery(damage(text), "correct horse battery")


def test_a_short_passphrase_is_refused():
    with pytest.raises(Invalid, match="12 are the least"):
        export_recovery(RING, "hunter2")


def test_keys_are_never_printed():
    assert repr(RING) == "<KeyRing versions=[1]>"


@settings(deadline=None)
@given(st.integers(1, 64))
def test_passwords_need_no_quoting_and_do_not_repeat(length):
    password = new_password(length)
    assert len(password) == length
    assert password.isascii()
    assert password.isalnum()
    assert length < 16 or new_password(length) != password
