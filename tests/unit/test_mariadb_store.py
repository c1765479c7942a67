"""What rclone says when it fails, as a line that says why."""

from __future__ import annotations

from agent.ccx_agent.mariadb_store import complaint

SAID = b"""\
2026/11/28 20:59:09 ERROR : a: Post rcat error: multipart upload failed to initialise: AccessDenied: Access Denied.
\tstatus code: 403, request id: 18EC51202274C32491D3B3C7, host id:\x20
2026/11/28 20:59:09 Failed to rcat with 2 errors: last error was: multipart upload failed to initialise: AccessDenied: \
Access Denied.
\tstatus code: 403, request id: 18EC51202274C32491D3B3C7, host id:\x20
"""


def test_its_last_word_is_told_whole_though_it_goes_over_several_lines() -> None:
    assert complaint(SAID) == (
        "Failed to rcat with 2 errors: last error was: multipart upload failed to initialise: AccessDenied: "
        "Access Denied. status code: 403"
    )


def test_one_that_says_nothing_failed_all_the_same() -> None:
    assert complaint(b"") == "rclone failed without a word"
