"""Which names the local cloud's DNS server takes."""

from __future__ import annotations

import pytest

from ccx.clouds.local.resolver import check_names
from ccx.errors import Invalid


def test_names_without_addresses_are_left_out() -> None:
    records = {"ab12.db.ccx.internal": ["10.224.1.0"], "ro.ab12.db.ccx.internal": []}
    assert check_names("ab12", records) == {"ab12.db.ccx.internal": ["10.224.1.0"]}
    assert check_names("ab12", {}) == {}


@pytest.mark.parametrize("datastore", ["", "../etc", "a/b", "a.b", "\u00e9", None, 7])
def test_a_zone_part_is_the_name_of_a_file_and_can_not_lead_elsewhere(datastore: object) -> None:
    with pytest.raises(Invalid, match="zone part"):
        check_names(datastore, {})


@pytest.mark.parametrize(
    "records",
    [[], {"a b": ["10.0.0.1"]}, {"a..b": ["10.0.0.1"]}, {"a\n": ["10.0.0.1"]}, {"x" * 64: ["10.0.0.1"]},
     {".".join(["x" * 60] * 5): ["10.0.0.1"]}, {"a": ["10.0.0.1 evil"]}, {"a": ["::1"]}, {"a": "10.0.0.1"}],
)  # fmt: skip
def test_records_that_would_say_something_else_in_a_hosts_file_are_refused(records: object) -> None:
    with pytest.raises(Invalid):
        check_names("ab12", records)
