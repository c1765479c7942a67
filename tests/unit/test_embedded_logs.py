"""What gets into the logs, and what never does."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from ccx.embedded import logs


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    before = (root.handlers, root.level, structlog.get_config())
    logs.configure("info", tmp_path / "ccx.log")
    yield tmp_path / "ccx.log"
    root.handlers, root.level = before[0], before[1]
    structlog.configure(**before[2])


def fail() -> None:
    opened = "hunter2"
    raise ValueError(f"a value of {len(opened)} characters")


def test_a_traceback_names_lines_and_no_local_variables(file: Path) -> None:
    try:
        fail()
    except ValueError as error:
        structlog.stdlib.get_logger().error("failed", exc_info=error)
    (event,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert event["exception"][0]["exc_value"] == "a value of 7 characters"
    assert [frame["name"] for frame in event["exception"][0]["frames"]][-1] == "fail"
    assert "hunter2" not in file.read_text()


def test_a_standard_library_traceback_holds_none_either(file: Path) -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("elsewhere").exception("failed")
    assert "hunter2" not in file.read_text()


def test_telling_names_are_masked_and_a_jobs_token_is_not(file: Path) -> None:
    structlog.stdlib.get_logger().info("claimed", token=17, api_token="s3cret", password=b"x")
    (event,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (event["token"], event["api_token"], event["password"]) == (17, "(masked)", "(masked)")
