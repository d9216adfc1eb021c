"""Lines that a thread writes: a reader that stands still, or a disk that does, holds nothing else up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread, current_thread
from typing import Any, Final

MAX_WAITING: Final = 4 * 1024 * 1024
"""Maximum bytes of lines that wait to be written; further ones are dropped until half of these are gone."""

_AT_ONCE: Final = 64 * 1024
"""Bytes beyond which the next lines are left for the next write."""

PAUSE: Final = 0.02
"""Seconds between two writes, at least: waking the thread for each line of a burst costs more than the lines."""

GRACE: Final = 1.0
"""Seconds that are waited at the end for what is still to be written."""


class Lines:
    """A bounded queue of lines, and the thread that writes them.

    Until L{start} a line is written at once: a process that can't start must be able to say why, and one that forks has
    its thread in the wrong one.

    @param write: takes whole lines; it may block for any time, and raise L{OSError}.
    @param notice: makes the line that says how many were dropped before the one after it. Any thread calls it.
    @param failed: called in the thread's C{except} clause when lines could not be written, which counts as dropped.
    @ivar dropped: how many lines were.
    """

    def __init__(
        self, write: Callable[[bytes], Any], notice: Callable[[int], bytes], failed: Callable[[], Any] = lambda: None
    ) -> None:
        self._write = write
        self._notice = notice
        self._failed = failed
        self._changed = Condition()
        # How many were dropped before each line, and the line.
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._gap = 0
        self._well = True
        # Whether the thread waits for a line, and whether somebody waits for the thread.
        self._idle = False
        self._hurried = False
        self._thread: Thread | None = None
        self.dropped = 0

    def add(self, line: bytes) -> None:
        """Have a line written, its end included.

        @raise OSError: before L{start} only: it can't be.
        """
        if self._thread is None:
            self._write(line)
            return
        with self._changed:
            if self._size + len(line) > (MAX_WAITING // 2 if self._gap else MAX_WAITING):
                self._drop(1)
                return
            self._waiting.append((self._gap, line))
            self._gap = 0
            self._size += len(line)
            if self._idle:
                self._idle = False
                self._changed.notify_all()

    @property
    def stands_still(self) -> bool:
        """Whether lines are dropped now."""
        return self._gap > 0

    def start(self) -> None:
        """From now on the thread writes. A process that forks has done so."""
        if self._thread is None:
            self._thread = Thread(target=self._run, name="lines", daemon=True)
            self._thread.start()

    def finish(self, seconds: float = GRACE) -> bool:
        """Wait until all is written.

        @return: whether it is; it takes longer than that otherwise.
        """
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._size, seconds)
            finally:
                self._hurried = False

    def stop(self, seconds: float = GRACE) -> bool:
        """Wait until all is written, and end the thread; lines are written at once again.

        @return: whether that was done; the thread hangs in a write otherwise, and what waits is dropped.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        with self._changed:
            self._changed.notify_all()
        thread.join(seconds)
        if not thread.is_alive():
            return True
        with self._changed:
            self._drop(len(self._waiting))
            self._size -= sum(len(line) for _, line in self._waiting)
            self._waiting.clear()
        return False

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._gap += count

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._write(b"".join(self._notice(gap) + line if gap else line for gap, line in batch))
                well = True
            except (OSError, ValueError):  # the latter of a file that somebody has closed
                well = False
                self._failed()
            with self._changed:
                self._size -= sum(len(line) for _, line in batch)
                self._well = well
                if not well:
                    self._gap += sum(gap for gap, _ in batch)
                    self._drop(sum(bool(line) for _, line in batch))
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._hurried or self._thread is not current_thread(), PAUSE)

    def _next(self) -> list[tuple[int, bytes]]:
        """What is to be written next, once there is something; empty: nothing any more."""
        with self._changed:
            while not self._waiting:
                if self._gap and self._well:  # nobody may add a line for long: what is said of the gap doesn't wait
                    gap, self._gap = self._gap, 0
                    return [(gap, b"")]
                if self._thread is not current_thread():
                    return []
                self._idle = True
                self._changed.wait()
            self._idle = False
            batch, size = [], 0
            while self._waiting and size < _AT_ONCE:
                batch.append(self._waiting.popleft())
                size += len(batch[-1][1])
            return batch
