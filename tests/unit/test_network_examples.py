"""The examples of docs/develop/declare-an-endpoint.md work as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from tests.unit.test_network_formats import ALL

from ccx.network import Plane, UndeclaredConnection
from ccx.network.plan import plan
from ccx.network.registry import declared

PAGE = Path(__file__).parents[2] / "docs" / "develop" / "declare-an-endpoint.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
DECLARE, CONNECT, SEE, FORMAT = (
    next(example for example in EXAMPLES if words in example)
    for words in ("declare(", ".client(settings)", "print(render(", "def render(")
)


@pytest.fixture
def forecast(monkeypatch):
    """The page's declaration; forgotten afterwards."""
    monkeypatch.setattr("ccx.network.registry._declared", declared())
    module: dict[str, object] = {"__name__": "ccx.weather.endpoints"}
    exec(DECLARE, module)
    return module["FORECAST"]


def test_the_declaration_is_in_the_plan_under_its_condition_with_what_stands_behind(forecast):
    (row,) = plan(ALL.model_copy(update={"log_level": "debug"}), [forecast]).rows
    assert row.hosts == ("api.weather.example", "cdn.weather.example")
    assert (row.condition, forecast.module) == ("log_level is debug", "ccx.weather.endpoints")
    assert plan(ALL, [forecast]).rows == ()


async def test_its_client_reaches_it_and_nothing_else(forecast):
    settings = ALL.model_copy(update={"log_level": "debug"})
    answering = httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.url)))
    async with forecast.client(settings, transport=answering) as http:
        assert (await http.get("/storms")).text == "https://api.weather.example/storms"
        with pytest.raises(UndeclaredConnection, match=r"evil\.example"):
            await http.get("https://evil.example/")
    assert "FORECAST.client(settings)" in CONNECT


def test_the_new_format_writes_what_it_should(capsys):
    exec(SEE, {"settings": ALL})
    assert capsys.readouterr().out.startswith("#")
    module: dict[str, object] = {}
    exec(FORMAT, module)
    text = module["render"](plan(ALL), plane=Plane.DATA)  # type: ignore[operator]
    assert re.fullmatch(r"table <ccx_data> const \{ [a-z0-9., -]+ \}\n", text)
    assert "repo.percona.com" in text
