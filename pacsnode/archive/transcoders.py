"""The programs that convert instances for a worker: started when needed, bounded, replaced when they die.

A worker never decodes. `convert` gives an instance to a child (`pacsnode.transcode`) and returns the converted data
set as an open file without a name; what happens to the child meanwhile costs that instance alone. There are at most so
many children; who finds all of them at work waits its turn, within the time for one instance.
"""

import logging
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pacsnode.durable import write_all
from pacsnode.errors import CannotConvert, OutOfResources
from pacsnode.storage.base import Readable
from pacsnode.storage.files import FileReadable
from pacsnode.storage.reading import chunks_of
from pacsnode.transcode_protocol import Nonsense, Order, receive_answer, send_order

log = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-m", "pacsnode.transcode")
MAX_OUTPUT_BYTES = (4 << 30) + (64 << 20)  # Pixel Data have a length of 32 bits; and what stands before

_LOOK_SECONDS = 0.5  # how often it is looked whether the result is still wanted
_END_SECONDS = 5.0
_OF_ITS_OWN = "exit 0"
# Codecs that would share out one image among threads; the node has other children and other work.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class TranscoderLimits:
    """How many children there may be, and what each may use: seconds are for one instance."""

    processes: int = 2
    memory_bytes: int = 2 << 30
    seconds: float = 300.0
    output_bytes: int = MAX_OUTPUT_BYTES


class Transcoders:
    """The children of one process. Any thread may call any method; `close` once, at the end."""

    def __init__(
        self,
        limits: TranscoderLimits,
        *,
        folder: Path,
        min_free_bytes: int = 0,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        """Nothing is started before it is needed. What is converted has no name, and lies on the disk of `folder`."""
        self._limits = limits
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._program = program
        self._free = threading.Condition()
        self._idle: list[_Child] = []
        self._running = 0  # idle ones included
        self._is_closed = False
        self.converted = self.failed = self.deaths = 0

    def convert(
        self,
        source: Readable,
        offset: int,
        stored: str,
        wanted: str,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> FileReadable:
        """Return the data set from `offset` of a file on in another transfer syntax; it is the caller's to close.

        Raises `CannotConvert`, and `OutOfResources` if there is no room, no child in time or no process to be had.
        """
        deadline = time.monotonic() + self._limits.seconds
        try:
            sink = self._unnamed(2 * source.length)
        except OSError as error:
            raise OutOfResources(f"nothing can be converted in {self._folder}: {error.strerror}") from error
        try:
            with _descriptor_of(source) as descriptor:
                length = self._into(sink, Order(stored, wanted, offset), descriptor, deadline, is_wanted)
            if os.fstat(sink).st_size != length:
                raise CannotConvert("the program that converts it failed")
        except OSError as error:
            os.close(sink)
            raise OutOfResources(f"nothing can be converted: {error.strerror}") from error
        except BaseException as error:
            self.failed += not isinstance(error, OutOfResources)
            os.close(sink)
            raise
        self.converted += 1
        return FileReadable(sink)

    def tidy(self) -> None:
        """Let go of children that have ended, as they do when there is nothing to do."""
        with self._free:
            ended = [child for child in self._idle if child.has_ended()]
            self._idle = [child for child in self._idle if child not in ended]
            self._running -= len(ended)

    def report(self) -> dict[str, object]:
        """Return counts for `status`."""
        self.tidy()
        return {
            "processes": self._running,
            "converted": self.converted,
            "failed": self.failed,
            "deaths": self.deaths,
        }

    def close(self) -> None:
        """End all children, those at work too."""
        with self._free:
            self._is_closed = True
            idle, self._idle = self._idle, []
            self._running -= len(idle)
            self._free.notify_all()
        for child in idle:
            child.end()

    # One instance

    def _into(
        self,
        sink: int,
        order: Order,
        source: int,
        deadline: float,
        is_wanted: Callable[[], bool],
    ) -> int:
        """Have it converted; return the length."""
        for _ in range(2):  # a child may have ended for want of work since it was last used
            child = self._taken(deadline, is_wanted)
            is_usable = False
            try:
                if child.gave(order, source, sink):
                    ends = time.monotonic() + self._limits.seconds  # the wait for its turn is not its own
                    length = self._await(child, ends, lambda: is_wanted() and not self._is_closed)
                    is_usable = True
                    return length
            except _Left:
                continue
            except (CannotConvert, OutOfResources) as error:
                is_usable = not isinstance(error, _Died)
                raise
            finally:
                self._give_back(child, is_usable=is_usable)
        raise OutOfResources("no program that converts can be started")

    def _await(self, child: "_Child", deadline: float, is_wanted: Callable[[], bool]) -> int:
        """Wait for a child's answer, the length of what it has written; raises `CannotConvert`."""
        while not child.has_said_something(min(_LOOK_SECONDS, deadline - time.monotonic())):
            if not is_wanted():
                raise _Died("its conversion was broken off")
            if time.monotonic() >= deadline:
                self.deaths += 1
                raise _Died(
                    f"its conversion takes longer than {self._limits.seconds:g} s (transcode.timeout)"
                )
        try:
            answer = receive_answer(child.channel)
        except Nonsense as error:
            self.deaths += 1
            log.error("a program that converts answers with nonsense: %s", error)
            raise _Died("the program that converts it failed") from error
        if answer is None:
            ending = child.end()
            if ending == _OF_ITS_OWN:
                raise _Left
            self.deaths += 1
            log.error("a program that converts %s ended: %s", child.at_work_on, ending)
            raise _Died(f"the program that converts it ended: {ending}")
        if answer.refusal:
            raise (OutOfResources if answer.is_temporary else CannotConvert)(answer.refusal)
        return answer.length

    def _taken(self, deadline: float, is_wanted: Callable[[], bool]) -> "_Child":
        """Return a child that has nothing to do, if need be a new one."""
        with self._free:
            while not self._idle and self._running >= self._limits.processes:
                self._free.wait(_LOOK_SECONDS)
                if time.monotonic() >= deadline or not is_wanted() or self._is_closed:
                    raise OutOfResources("all programs that convert are at work (transcode.processes)")
            if self._is_closed:
                raise OutOfResources("the node stops")
            while self._idle:
                child = self._idle.pop()
                if not child.has_ended():  # as they do for want of work
                    return child
                self._running -= 1
            self._running += 1
        try:
            return _Child(self._program, self._limits)
        except OSError as error:
            with self._free:
                self._running -= 1
                self._free.notify()
            raise OutOfResources(f"no program that converts can be started: {error.strerror}") from error

    def _give_back(self, child: "_Child", *, is_usable: bool) -> None:
        is_kept = False
        with self._free:
            if is_usable and not self._is_closed:
                self._idle.append(child)
                is_kept = True
            else:
                self._running -= 1
            self._free.notify()
        if not is_kept:
            child.end()

    def _unnamed(self, length: int) -> int:
        """Return a file that is gone once it is closed, if there is room for it; raises `OSError`, `OutOfResources`."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        space = os.statvfs(self._folder)
        if space.f_bavail * space.f_frsize - length < self._min_free_bytes:
            raise OutOfResources(f"free space in {self._folder} would fall under spool.min_free")
        with tempfile.TemporaryFile(dir=self._folder) as file:
            return os.dup(file.fileno())


class _Died(CannotConvert):
    """A child that is of no more use: it is ended, dead or alive."""


class _Left(Exception):
    """A child that has ended for want of work just when there was some; it has not begun with it."""


class _Child:
    """One program that converts. Used by one thread at a time."""

    def __init__(self, program: Sequence[str], limits: TranscoderLimits) -> None:
        """Start it; raises `OSError`."""
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.at_work_on = ""
        words = [
            f"--memory={limits.memory_bytes}",
            f"--output={limits.output_bytes}",
            f"--seconds={limits.seconds}",
        ]
        try:
            self._process = subprocess.Popen(
                [*program, *words],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,  # codecs talk
                stderr=subprocess.DEVNULL,
                env=os.environ | _ONE_THREAD,
            )
        except OSError:
            self.channel.close()
            raise
        finally:
            theirs.close()
        self._poll = select.poll()
        self._poll.register(self.channel, select.POLLIN)

    def gave(self, order: Order, source: int, sink: int) -> bool:
        """Send an order; return whether the child was there to take it."""
        self.at_work_on = f"{order.stored} to {order.wanted}"
        try:
            send_order(self.channel, order, source, sink)
        except OSError:
            return False
        return True

    def has_said_something(self, seconds: float) -> bool:
        """Wait for an answer, or for the child's end."""
        return bool(self._poll.poll(max(0, int(seconds * 1000))))

    def has_ended(self) -> bool:
        """Return whether it is no more; then nothing of it is left."""
        if self._process.poll() is None:
            return False
        self.channel.close()
        return True

    def end(self) -> str:
        """Kill it if it lives, and return how it ended, in words."""
        self.channel.close()
        try:
            code = self._process.wait(0.1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            try:
                code = self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                return "killed, and stuck in the kernel"
        return f"signal {-code}" if code < 0 else f"exit {code}"


@contextmanager
def _descriptor_of(source: Readable) -> Iterator[int]:
    """Give a descriptor of a file with these bytes; what is no file is copied into memory."""
    if isinstance(source, FileReadable):
        yield source.descriptor
        return
    descriptor = os.memfd_create("instance", os.MFD_CLOEXEC)
    try:
        for chunk in chunks_of(source):
            write_all(descriptor, [chunk])
        yield descriptor
    finally:
        os.close(descriptor)
