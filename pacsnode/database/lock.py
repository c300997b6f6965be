"""The lock that writers of several processes queue for."""

import fcntl
import os
import threading
from pathlib import Path


class FileLock:
    """An exclusive `flock` that can be waited for with a deadline.

    flock has no time-out of its own. If the lock is not free at once, a thread waits for it; one that comes
    too late gives it back. One thread of the process at a time may use it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._state = threading.Condition()
        self._is_waiting = False
        self._is_wanted = False
        self._is_granted = False
        self._is_closed = False

    def acquire(self, timeout_seconds: float) -> bool:
        """Return whether the lock is ours within the time."""
        with self._state:
            if not self._is_waiting:
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._is_waiting = True
                    threading.Thread(target=self._wait, name="database-lock", daemon=True).start()
                else:
                    return True
            self._is_wanted = True
            granted = self._state.wait_for(lambda: self._is_granted, timeout_seconds)
            self._is_wanted = self._is_granted = False
            return granted

    def _wait(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._state:
            self._is_waiting = False
            if self._is_closed:
                return  # the descriptor may be another file's by now; the lock went with the last reference
            if self._is_wanted:
                self._is_granted = True
                self._state.notify_all()
            else:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def release(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give everything back; the lock is not to be used again."""
        with self._state:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._descriptor)
