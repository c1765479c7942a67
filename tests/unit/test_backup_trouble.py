"""What pgBackRest says, in words that name cause and remedy; and how far a backup is, by its own notes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agent.ccx_agent.backup import running
from hypothesis import given
from hypothesis import strategies as st

from ccx.cmon.backup.trouble import StoreRefusal, StoreTrouble, why
from ccx.cmon.engines.postgres.backing_up import never_restored
from ccx.errors import Transient


@pytest.mark.parametrize(
    ("said", "cause", "passes"),
    [
        ("P00 ERROR: [049]: unable to connect to '10.1.0.2:8333 (10.1.0.2)': [111] Connection refused", "answer", True),
        ("ERROR: [103]: timeout after 60000ms waiting for read from '10.1.0.2:8333'", "answer", True),
        ("ERROR: [101]: HTTP request failed with 503 (Service Unavailable):\n*** Path/Query ***", "503", True),
        ("ERROR: [103]: HTTP request failed with 500 (Internal Server Error)", "fails", True),
        ("ERROR: [103]: HTTP request failed with 507 (Insufficient Storage)", "full", True),
        ("HTTP request failed with 500 (Internal Server Error): no free volumes left for backups", "full", True),
        ("ERROR: [103]: HTTP request failed with 403 (Forbidden): <Code>AccessDenied</Code>", "keys", False),
        ("unable to verify certificate presented by '10.1.0.2:8333': [20] unable to get local issuer", "certif", False),
        ("HTTP request failed with 404 (Not Found): <Code>NoSuchBucket</Code>", "bucket", False),
        ("ERROR: [057]: unable to execute query: FATAL:  terminating connection due to administrator", "became", True),
        ("ERROR: [082]: WAL segment 000000010000000000000005 was not archived before the 60000ms timeout", "log", True),
        ("Failed to rcat: last error was: multipart upload failed: AccessDenied: Access Denied.", "keys", False),
        ("Failed to rcat: NoSuchBucket: The specified bucket does not exist status code: 404", "no such bucket", False),
        ('Put "https://10.1.0.2:8333/b": x509: certificate signed by unknown authority', "can't trust", False),
        ('Get "https://10.1.0.2:8333/b": dial tcp 10.1.0.2:8333: connect: connection refused', "does not answer", True),
        ("Failed to connect to MariaDB server: Can't connect to local server through socket", "became primary", True),
        ("ERROR: no room for a copy on the node's volume: 90 MiB are free, and it takes 200 MiB", "too full", False),
        ("no room for a copy on the node's volume: errno: 28 - No space left on device", "too full", False),
        ("something that nobody has seen", "own words", True),
    ],
)
def test_a_failure_names_its_cause_and_remedy(said: str, cause: str, passes: bool) -> None:
    error = why(said, "back up on n1g1")
    assert error.err.startswith("could not back up on n1g1")
    assert cause in str(error)
    assert error.remedy
    assert isinstance(error, StoreTrouble if passes else StoreRefusal)
    assert isinstance(error, Transient) is passes


@given(st.text())
def test_whatever_it_says_there_is_an_error_for_it(said: str) -> None:
    assert why(said, "back up").remedy


def test_a_running_backups_bytes_are_those_it_notes_itself(tmp_path: Path) -> None:
    lock = tmp_path / "abc-backup-1.lock"
    assert running("abc", tmp_path) == {"done": 0, "total": None}
    lock.write_text('4711\n{"execId":"4711-1","sz":1000,"szCplt":250}\n')
    assert running("abc", tmp_path) == {"done": 250, "total": 1000}
    lock.write_text(json.dumps({"pid": 4711, "execId": "4711-1"}))
    assert running("abc", tmp_path) == {"done": 0, "total": None}
    lock.write_text('{"szCplt":')  # it is being written
    assert running("abc", tmp_path) == {"done": 0, "total": None}


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("unable to connect to '10.1.0.2:8333'", "See that it runs, and that nodes reach it: ccx network probe"),
        ("recovery ended before configured recovery target was reached", "Restore to another time or backup; "),
    ],
)
def test_a_failed_restore_is_not_tried_again_by_itself_and_says_what_to_do(said: str, remedy: str) -> None:
    error = never_restored(said, "n1g1")
    assert error.err.startswith("the restore failed on n1g1: ")
    assert (error.remedy or "").startswith(remedy)
    assert not isinstance(error, Transient)
    assert "next backup" not in str(error)
