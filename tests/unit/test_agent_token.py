"""The agent's memory for tokens: an older job is refused for good, and never works beside a newer one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from agent.ccx_agent.errors import AgentError
from agent.ccx_agent.token import claimed
from hypothesis import given
from hypothesis import strategies as st


def test_a_token_lower_than_one_that_was_seen_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    with claimed(7, tmp_path):
        pass
    with pytest.raises(AgentError, match="token 6 is older than 7"), claimed(6, tmp_path):
        pytest.fail("ran under a stale token")
    with claimed(7, tmp_path), claimed(7, tmp_path):
        pass


@pytest.mark.parametrize("token", [None, "7", 7.0, True, -1])
def test_what_is_no_token_is_refused(token: object, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="needs the job's token"), claimed(token, tmp_path):
        pytest.fail("ran without a token")
    assert not (tmp_path / "token").exists()


@given(st.lists(st.integers(min_value=0, max_value=20), max_size=30))
def test_accepted_tokens_never_fall(tmp_path_factory: pytest.TempPathFactory, tokens: list[int]) -> None:
    state, highest = tmp_path_factory.mktemp("state"), -1
    for token in tokens:
        try:
            with claimed(token, state):
                accepted = True
        except AgentError:
            accepted = False
        assert accepted == (token >= highest)
        highest = max(highest, token)


def test_a_newer_job_waits_until_the_older_ones_verb_has_ended(tmp_path: Path) -> None:
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def older() -> None:
        with claimed(1, tmp_path):
            inside.set()
            leave.wait(10)
            order.append("older ends")

    def newer() -> None:
        with claimed(2, tmp_path):
            order.append("newer runs")

    threads = [threading.Thread(target=older)]
    threads[0].start()
    inside.wait(10)
    threads.append(threading.Thread(target=newer))
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive()
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["older ends", "newer runs"]


def test_a_verb_that_does_not_end_makes_the_newer_job_try_again_later(tmp_path: Path) -> None:
    with (
        claimed(1, tmp_path),
        pytest.raises(AgentError, match="earlier job still runs"),
        claimed(2, tmp_path, patience=0.1),
    ):
        pytest.fail("ran beside an older job's verb")
    with claimed(1, tmp_path):
        pass


def test_jobs_of_another_lane_make_nobody_stale(tmp_path: Path) -> None:
    with claimed(7, tmp_path), claimed(9, tmp_path, lane="side"):
        pass
    with claimed(8, tmp_path):
        pass
    with pytest.raises(AgentError, match="token 8 is older than 9"), claimed(8, tmp_path, lane="side"):
        pytest.fail("ran under a stale token")
