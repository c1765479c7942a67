"""Starts the parts in order, each when the one before it is ready; restarts what crashes; stops in reverse order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ccx.embedded.part import Part, Process
from ccx.embedded.processes import identify
from ccx.embedded.record import PartRecord, Record
from ccx.embedded.report import Report
from ccx.errors import CcxError

_READY_WITHIN = 150.0
_POLL = 0.05
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
_STABLE_AFTER = 60.0
_LOGS_EVERY = 60.0
_LARGEST_LOG = 10 * 2**20


class StartFailed(CcxError):
    """A part did not become ready when the instance started."""

    status = 500


class Supervisor:
    """One instance's parts. ``run`` returns when it was told to stop and everything has stopped.

    Parts that go ``alongside`` wait for no other, and no other waits for them.
    """

    def __init__(
        self, parts: Sequence[Part], record: Record, run_folder: Path, logs: Path, report: Report,
        alongside: Sequence[Part] = (),
    ) -> None:  # fmt: skip
        self._parts = parts
        self._alongside = alongside
        self._record = record
        self._run_folder = run_folder
        self._logs = logs
        self._report = report
        self._processes: dict[str, Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    async def run(self, on_ready: asyncio.Event | None = None) -> None:
        """Raises :class:`StartFailed` after having stopped what had started."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        try:
            await self._start_all()
            if not self._stop.is_set():
                self._record.ready = True
                self._record.save(self._run_folder)
                if on_ready is not None:
                    on_ready.set()
            await self._watch_logs_until_stopped()
        finally:
            await self._stop_all()

    def stop(self) -> None:
        """As SIGTERM does."""
        self._stop.set()

    async def _start_all(self) -> None:
        began = time.monotonic()
        early = {part: asyncio.create_task(self._start(part)) for part in self._alongside}
        try:
            for part in self._parts:
                if not await self._first(part, asyncio.create_task(self._start(part)), time.monotonic()):
                    return
            for part, first in early.items():
                if not await self._first(part, first, began):
                    return
        finally:
            for first in early.values():
                first.cancel()
            await asyncio.gather(*early.values(), return_exceptions=True)

    async def _first(self, part: Part, first: asyncio.Task[Process], began: float) -> bool:
        """Waits for a part's first start, and keeps it from then on. False when told to stop meanwhile."""
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({first, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not first.done():
            first.cancel()
            with suppress(asyncio.CancelledError, StartFailed):
                await first
            return False
        process = await first
        self._report.ready(part.name, began, f"pid {process.pid}")
        self._keepers.append(asyncio.create_task(self._keep(part, process), name=part.name))
        return True

    async def _start(self, part: Part) -> Process:
        """One attempt. When it fails, as with :class:`StartFailed`, the process is gone."""
        self._note(part, "starting", None)
        process = await part.start()
        self._processes[part.name] = process
        self._note(part, "starting", process)
        ended = asyncio.create_task(process.wait())
        try:
            async with asyncio.timeout(_READY_WITHIN):
                while not await part.ready():
                    await asyncio.wait({ended}, timeout=_POLL)
                    if ended.done():
                        raise StartFailed(
                            f"{part.name} ended at once (exit code {process.returncode})",
                            remedy=f"Its last words: {_last_words(self._logs / f'{part.name}.log')}",
                        )
                await part.when_ready()
        except Exception as error:
            await self._end(part, process)
            if not isinstance(error, TimeoutError):
                raise
            raise StartFailed(
                f"{part.name} was not ready within {_READY_WITHIN:.0f} s",
                remedy=f"Its last words: {_last_words(self._logs / f'{part.name}.log')}",
            ) from None
        finally:
            ended.cancel()
        self._note(part, "ready", process)
        return process

    async def _keep(self, part: Part, process: Process) -> None:
        """Waits for the part to end, and starts it again, after growing pauses while that doesn't help."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            await process.wait()
            if time.monotonic() - began > _STABLE_AFTER:
                pause = _FIRST_PAUSE
            self._record.parts[part.name].restarts += 1
            while True:
                self._note(part, "restarting", None)
                self._report.line(f"  {part.name:<14} ended (exit code {process.returncode}); again in {pause:.1f} s")
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                again = time.monotonic()
                try:
                    process = await self._start(part)
                except Exception as error:  # whatever it is, nobody else starts the part again
                    self._report.line(f"  {part.name:<14} {error or type(error).__name__}")
                    continue
                self._report.ready(part.name, again, f"pid {process.pid}")
                break

    async def _watch_logs_until_stopped(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _LOGS_EVERY)
            for log in self._logs.glob("*.log"):
                with suppress(OSError):  # a full disk: the parts go on
                    if log.stat().st_size > _LARGEST_LOG and log.stem in self._processes:
                        await asyncio.to_thread(_rotate, log)

    async def _stop_all(self) -> None:
        self._record.ready = False
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for part in reversed([*self._alongside, *self._parts]):
            if (process := self._processes.get(part.name)) is not None:
                await self._end(part, process)
                self._note(part, "stopped", None)

    async def _end(self, part: Part, process: Process) -> None:
        if process.returncode is None and part.stop_signal is not None:
            with suppress(ProcessLookupError):
                process.send_signal(part.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), part.stop_within)
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    def _note(self, part: Part, state: str, process: Process | None) -> None:
        entry = self._record.parts.setdefault(part.name, PartRecord(state))
        entry.state, entry.since = state, time.time()
        known = identify(process.pid) if process else None
        entry.pid, entry.started = (known.pid, known.started) if known else (None, None)
        with suppress(OSError):  # it is for who looks
            self._record.save(self._run_folder)


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return f"none in {log}"
    return next((line.strip() for line in reversed(lines) if line.strip()), "none") + f" ({log})"


def _rotate(log: Path) -> None:
    """Keeps one earlier file. The writer appends, so it goes on in the emptied one."""
    earlier = log.with_suffix(".log.1")
    earlier.write_bytes(log.read_bytes())
    earlier.chmod(0o640)
    with log.open("r+b") as file:
        file.truncate()
