"""Signals as something to select on: handlers only record, and the loop does what they ask for."""

import os
import signal
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Signals:
    """Readable when a signal has come. A context manager, for the main thread only.

    The handlers stay to the end of the process, so that a signal while it ends is one more that says what is known.
    """

    def __init__(self, numbers: Sequence[int] = SIGNALS) -> None:
        self._numbers = numbers

    def __enter__(self) -> Self:
        self._readable, self._writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_before = signal.set_wakeup_fd(self._writable, warn_on_full_buffer=False)
        for number in self._numbers:
            signal.signal(number, _recorded)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._readable)
        os.close(self._writable)

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._readable

    def received(self) -> list[int]:
        """Return the signals that have come, in order."""
        try:
            return list(os.read(self._readable, 4096))
        except BlockingIOError:
            return []


def _recorded(_: int, __: FrameType | None) -> None:
    """Let the interpreter write the number to the wakeup descriptor, which it does before it calls this."""
