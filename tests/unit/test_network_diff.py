"""A change's rules: what has to be added before it, and removed after it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.test_network_endpoint import endpoint
from tests.unit.test_network_plan import SETTINGS
from tests.unit.test_network_planned import ALL, FEATURES, switched_on

from ccx.cli.network_settings import read_plan
from ccx.errors import Invalid
from ccx.network import exported
from ccx.network.diff import diff
from ccx.network.plan import plan
from ccx.network.render import render


def of(*endpoints):
    return plan(SETTINGS, list(endpoints))


def test_a_host_behind_a_row_is_a_rule_of_its_own():
    found = diff(of(endpoint()), of(endpoint(behind=("cdn.example",))))
    assert [(r.host, r.port) for r in found.add] == [("cdn.example", 443)]
    assert found.remove == ()


def test_a_rule_that_another_row_needs_stays():
    both = of(endpoint(), endpoint(id="test.other"))
    assert diff(both, of(endpoint())).remove == ()
    assert diff(both, of(endpoint(purpose="other words"))).add == ()


states = st.sets(st.sampled_from(sorted(FEATURES)))


@settings(max_examples=40, deadline=None)
@given(states, states)
def test_applying_the_rules_of_a_diff_leads_from_the_old_plan_to_the_new(before, after):
    old, new = plan(switched_on(before)), plan(switched_on(after))
    nothing = plan(SETTINGS, [])
    found = diff(old, new)
    opened = set(diff(nothing, old).add)
    assert opened | set(found.add) >= set(diff(nothing, new).add), "before the change"
    assert (opened | set(found.add)) - set(found.remove) == set(diff(nothing, new).add)
    assert not set(found.add) & opened


def test_an_exported_plan_is_read_back_as_it_was(tmp_path):
    whole = plan(ALL)
    file = tmp_path / "plan.json"
    file.write_text(render(whole, "json"))
    assert exported.is_exported(file)
    assert exported.load(file).rows == whole.rows


@pytest.mark.parametrize(
    "change",
    [{"port": 0}, {"port": "x"}, {"host": "a b"}, {"plane": "astral"}, {"behind": 1}, {"protocol": None}],
)  # fmt: skip
def test_a_broken_row_is_refused_by_its_place(tmp_path, change):
    document = json.loads(render(of(endpoint()), "json"))
    document["endpoints"][0].update(change)
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(document))
    with pytest.raises(Invalid) as refused:
        exported.load(file)
    assert str(refused.value.field).endswith("plan.json: endpoints.0")


def test_a_plan_of_another_schema_is_refused_by_its_name(tmp_path):
    file = tmp_path / "plan.json"
    file.write_text(render(of(endpoint()), "json").replace("network-plan:1", "network-plan:2"))
    with pytest.raises(Invalid, match="urn:ccx:network-plan:2, and this ccx reads urn:ccx:network-plan:1") as refused:
        read_plan(file, lenient=False)
    assert refused.value.field == str(file)
    assert "--format json" in str(refused.value.remedy)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "urn:other", "endpoints": []}'])
def test_what_is_no_plan_is_refused(tmp_path, text):
    file = tmp_path / "plan.json"
    file.write_text(text)
    assert not exported.is_exported(file)
    with pytest.raises(Invalid):
        exported.load(file)
