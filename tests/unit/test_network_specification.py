"""The page of the specification's rows is complete, fresh, and its links lead somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from tests.unit.test_network_formats import SEED_LINES

from ccx.network import catalogue
from ccx.network.render.checklist import OPTIONAL, REQUIRED
from ccx.network.specification import ITEMS, page, state

ROOT = Path(__file__).parents[2]
# Rows of the specification's tables; those that stand in two tables once. Statements of its text come on top.
TABLE_ROWS = {1: 16, 2: 1, 3: 7, 4: 2, 5: 3, 6: 2, 7: 2, 8: 16, 9: 6, 10: 1}
STATEMENTS = {0: 2, 1: 2, 2: 3, 3: 2, 4: 1, 5: 2, 6: 2, 7: 1, 8: 1, 10: 2}
CHECKLIST = 13


def test_every_declaration_of_a_section_belongs_to_a_row():
    claimed = {id_ for item in ITEMS for id_ in item.ids}
    assert {id_ for id_, e in catalogue.load().items() if e.section} <= claimed
    assert claimed <= set(catalogue.load())


def test_a_rows_declarations_are_of_its_section():
    for item in ITEMS:
        sections = {catalogue.load()[id_].section for id_ in item.ids}
        assert sections <= {item.section, None}, item


@pytest.mark.parametrize("section", [0, *TABLE_ROWS, None])
def test_each_section_has_all_its_rows(section):
    expected = CHECKLIST if section is None else TABLE_ROWS.get(section, 0) + STATEMENTS.get(section, 0)
    assert len([item for item in ITEMS if item.section == section]) == expected


def test_the_checklist_has_all_its_lines():
    assert len(REQUIRED) + len(OPTIONAL) == len(SEED_LINES) == CHECKLIST


def test_the_page_is_fresh():
    kept = (ROOT / "docs" / "specification.md").read_text()
    assert kept == page(), "run: python -m ccx.network.specification > docs/specification.md"


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\(([^)]+)\)", page())
    assert len(links) >= 2 * len(ITEMS)
    for link in set(links):
        assert (ROOT / "docs" / link).resolve().is_file(), link


@pytest.mark.parametrize("test", sorted({item.test for item in ITEMS}))
def test_every_named_test_exists(test):
    file, _, name = test.partition("::")
    tree = ast.walk(ast.parse((ROOT / file).read_text()))
    functions = {node.name for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions


def test_a_state_is_that_of_the_declarations():
    by_words = {item.words: item for item in ITEMS}
    assert state(by_words["ccx-rest-user, 18091"]) == "built"
    assert state(by_words["PagerDuty"]) == "planned"
