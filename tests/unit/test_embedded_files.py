"""When a listener's certificate is made anew."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ccx.embedded.files import _is_good
from ccx.pki import KeyPair, issue, new_ca

CA = new_ca("CCX installation test")


def good(folder: Path, certificate: KeyPair, key: KeyPair | None, names: list[str]) -> bool:
    (folder / "tls.crt").write_text(certificate.certificate + CA.certificate)
    if key is not None:
        (folder / "tls.key").write_text(key.key)
    return _is_good(folder / "tls.crt", folder / "tls.key", CA, names, ["127.0.0.1"])


def leaf(valid: timedelta = timedelta(days=397)) -> KeyPair:
    return issue(CA, "ccx", dns_names=["localhost"], addresses=["127.0.0.1"], valid=valid)


def test_a_certificate_stays_while_its_names_hold_and_it_does_not_expire_soon(tmp_path: Path) -> None:
    made, ends = leaf(), leaf(timedelta(days=59))
    assert not _is_good(tmp_path / "tls.crt", tmp_path / "tls.key", CA, [], [])
    assert good(tmp_path, made, made, ["localhost"])
    assert not good(tmp_path, made, made, ["localhost", "another"])
    assert not good(tmp_path, ends, ends, ["localhost"])


def test_a_certificate_that_was_made_without_the_key_that_lies_there_is_made_anew(tmp_path: Path) -> None:
    """Whoever is killed between the two writes leaves such a pair, and no listener starts with it."""
    made = leaf()
    assert not good(tmp_path, made, None, ["localhost"])
    assert not good(tmp_path, made, leaf(), ["localhost"])
    (tmp_path / "tls.key").write_text("no key")
    assert not good(tmp_path, made, None, ["localhost"])


@pytest.mark.parametrize("with_key", [True, False])
def test_an_operators_own_certificate_stays_whatever_it_is(tmp_path: Path, with_key: bool) -> None:
    theirs = new_ca("Another CA")
    made = issue(theirs, "ccx", dns_names=["db.example.net"])
    assert good(tmp_path, made, made if with_key else None, ["localhost"])
