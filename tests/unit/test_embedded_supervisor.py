"""The supervisor, with real processes for parts."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ccx.embedded import record, supervisor
from ccx.embedded.processes import identify
from ccx.embedded.report import Report
from ccx.embedded.supervisor import StartFailed, Supervisor


class Sleeper:
    """A part that is ready when its process has made a file."""

    stop_signal = signal.SIGTERM
    stop_within = 5.0

    def __init__(self, name: str, folder: Path, script: str = 'touch "$0"; exec sleep 60') -> None:
        self.name = name
        self._mark = folder / f"{name}.ready"
        self._log = folder / f"{name}.log"
        self._script = script
        self.made_ready = 0

    async def start(self) -> asyncio.subprocess.Process:
        self._mark.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                "sh", "-c", self._script, str(self._mark), stdout=log, stderr=log
            )

    async def ready(self) -> bool:
        return self._mark.exists()

    async def when_ready(self) -> None:
        self.made_ready += 1


@asynccontextmanager
async def supervised(folder: Path, *parts: Sleeper, alongside: Sequence[Sleeper] = ()) -> AsyncIterator[record.Record]:
    entry, lock = record.begin(folder, "127.0.0.1:1", "https://127.0.0.1:1")
    with (folder / "out").open("wb") as out:
        one = Supervisor(parts, entry, folder, folder, Report(out.fileno()), alongside)
        ready = asyncio.Event()
        running = asyncio.create_task(one.run(ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        try:
            if running.done():
                running.result()
            assert ready.is_set()
            yield entry
        finally:
            waiting.cancel()
            one.stop()
            await asyncio.wait({running})
            os.close(lock)


async def until(condition: object, *, within: float = 10) -> None:
    async with asyncio.timeout(within):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_a_part_starts_when_the_one_before_it_is_ready(tmp_path: Path) -> None:
    second = Sleeper("second", tmp_path, f'test -e {tmp_path}/first.ready && touch "$0"; exec sleep 60')

    async with supervised(tmp_path, Sleeper("first", tmp_path), second) as entry:
        assert {name: part.state for name, part in entry.parts.items()} == {"first": "ready", "second": "ready"}
        assert second.made_ready == 1


async def test_a_part_that_goes_alongside_waits_for_nobody_and_nobody_for_it(tmp_path: Path) -> None:
    # It comes first in time and is ready last: were it waited for, neither would be.
    beside = Sleeper(
        "beside", tmp_path, f'until test -e {tmp_path}/first.ready; do sleep 0.01; done; touch "$0"; exec sleep 60'
    )
    async with supervised(tmp_path, Sleeper("first", tmp_path), alongside=[beside]) as entry:
        assert {name: part.state for name, part in entry.parts.items()} == {"first": "ready", "beside": "ready"}
        assert beside.made_ready == 1
        pids = [part.pid for part in entry.parts.values()]
    assert [identify(pid) for pid in pids if pid] == [None, None]


async def test_a_part_that_goes_alongside_and_does_not_start_stops_the_rest(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="beside ended at once"):
        async with supervised(tmp_path, Sleeper("first", tmp_path), alongside=[Sleeper("beside", tmp_path, "exit 3")]):
            pytest.fail("it must not come up")


async def test_a_part_that_ends_is_started_again_and_made_ready_again(tmp_path: Path) -> None:
    part = Sleeper("part", tmp_path)

    async with supervised(tmp_path, part) as entry:
        before = entry.parts["part"].pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda: entry.parts["part"].pid not in (None, before) and entry.parts["part"].state == "ready")

        assert entry.parts["part"].restarts == 1
        assert part.made_ready == 2


async def test_stopping_ends_every_process_and_says_so_in_the_record(tmp_path: Path) -> None:
    async with supervised(tmp_path, Sleeper("first", tmp_path), Sleeper("second", tmp_path)) as entry:
        pids = [part.pid for part in entry.parts.values()]

    assert [identify(pid) for pid in pids if pid] == [None, None]
    left = record.read(tmp_path)
    assert left is not None
    assert not left.ready
    assert {part.state for part in left.parts.values()} == {"stopped"}


async def test_a_part_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    stubborn = Sleeper("stubborn", tmp_path, 'trap "" TERM; touch "$0"; while :; do sleep 0.1; done')
    stubborn.stop_within = 0.3

    async with supervised(tmp_path, stubborn) as entry:
        pid = entry.parts["stubborn"].pid

    assert pid is not None
    assert identify(pid) is None


async def test_a_start_that_fails_says_the_parts_last_words_and_stops_the_others(tmp_path: Path) -> None:
    broken = Sleeper("broken", tmp_path, "echo no such database; exit 3")
    first = Sleeper("first", tmp_path)

    with pytest.raises(StartFailed) as failed:
        async with supervised(tmp_path, first, broken):
            pytest.fail("it did not start")

    assert "exit code 3" in failed.value.err
    assert "no such database" in str(failed.value)
    left = record.read(tmp_path)
    assert left is not None
    assert left.parts["first"].state == "stopped"


async def test_there_is_one_supervisor_of_an_instance(tmp_path: Path) -> None:
    async with supervised(tmp_path, Sleeper("part", tmp_path)):
        with pytest.raises(Exception, match="is running already"):
            record.begin(tmp_path, "127.0.0.1:1", "https://127.0.0.1:1")
        assert record.running(tmp_path) is not None


class Unlucky(Sleeper):
    """Can't be made ready the second time, for a reason that nobody expected."""

    pids: list[int]

    async def start(self) -> asyncio.subprocess.Process:
        process = await super().start()
        self.pids = [*getattr(self, "pids", []), process.pid]
        return process

    async def when_ready(self) -> None:
        await super().when_ready()
        if self.made_ready == 2:
            raise ValueError("not enough values to unpack")


async def test_a_start_that_fails_in_any_way_leaves_no_process_and_is_tried_again(tmp_path: Path) -> None:
    part = Unlucky("part", tmp_path)

    async with supervised(tmp_path, part) as entry:
        os.kill(part.pids[0], signal.SIGKILL)
        await until(lambda: part.made_ready == 3 and entry.parts["part"].state == "ready")

        assert [identify(pid) is not None for pid in part.pids] == [False, False, True]
        assert entry.parts["part"].pid == part.pids[2]


async def test_a_log_that_can_not_be_rotated_and_a_record_that_can_not_be_written_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_LOGS_EVERY", 0.05)
    monkeypatch.setattr(supervisor, "_LARGEST_LOG", 0)
    (tmp_path / "part.log.1").mkdir()
    part = Sleeper("part", tmp_path, 'echo said; touch "$0"; exec sleep 60')

    async with supervised(tmp_path, part) as entry:
        (tmp_path / "supervisor.new").mkdir()
        pid = entry.parts["part"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: part.made_ready == 2)
        (tmp_path / "supervisor.new").rmdir()
