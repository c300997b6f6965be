"""The program that converts instances, one after another, as a worker orders (`transcode_protocol`).

Everything that a sender's pixels can do to a codec happens here: what crashes, hangs or eats memory costs this process
and the one instance. It has no files and no sockets but those that it is given; its memory, the size of what it
writes and its time are limited, and it ends when its worker does, or has nothing for it to do for a while.

usage: python -m pacsnode.transcode --memory BYTES --output BYTES --seconds SECONDS    (a socket as standard input)
"""

import argparse
import errno
import os
import resource
import select
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pacsnode.errors import PacsNodeError
from pacsnode.transcode.transcoding import Limits, transcode
from pacsnode.transcode_protocol import Answer, Order, receive_order, send_answer

IDLE_SECONDS = 60.0
_NICE = 10
_FIRST_TO_GO = "900"
_GRACE_SECONDS = 5  # the worker's own time limit comes first

Convert = Callable[[BinaryIO, BinaryIO, Order], None]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the process may use: address space and one output file in bytes, seconds for one instance."""

    memory: int
    output: int
    seconds: float


def main(words: list[str] | None = None) -> None:
    """Work until the worker hangs up."""
    parser = argparse.ArgumentParser(description="Converts instances; it is started by a pacsnode worker.")
    parser.add_argument("--memory", type=int, required=True)
    parser.add_argument("--output", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    bounds = Bounds(**vars(parser.parse_args(words)))
    channel = socket.socket(fileno=0)
    _confine(bounds)
    threading.Thread(target=_end_with, args=(channel,), name="worker-is-gone", daemon=True).start()
    serve(channel, _converted(bounds), seconds=bounds.seconds + _GRACE_SECONDS)


def serve(channel: socket.socket, convert: Convert, *, seconds: float) -> None:
    """Obey orders; a process that takes longer than the seconds for one is killed by its own alarm."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    while poll.poll(int(IDLE_SECONDS * 1000)):
        received = receive_order(channel)
        if received is None:
            return
        order, source, sink = received
        signal.setitimer(signal.ITIMER_REAL, seconds)
        answer = _answer(convert, order, source, sink)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send_answer(channel, answer)


def _converted(bounds: Bounds) -> Convert:
    # A codec holds a frame up to nine times (JPEG 2000, compressed and compared).
    limits = Limits(max_frame_bytes=bounds.memory // 10, max_pixel_data_bytes=bounds.output)

    def convert(source: BinaryIO, sink: BinaryIO, order: Order) -> None:
        transcode(source, sink, stored=order.stored, wanted=order.wanted, limits=limits)

    return convert


def _answer(convert: Convert, order: Order, source: int, sink: int) -> Answer:
    try:
        with ExitStack() as opened:
            reading = opened.enter_context(os.fdopen(source, "rb"))
            writing = opened.enter_context(os.fdopen(sink, "wb"))
            reading.seek(order.offset)
            convert(reading, writing, order)
            writing.flush()
            return Answer(writing.tell())
    except PacsNodeError as error:
        return Answer(refusal=str(error))
    except MemoryError:
        return Answer(refusal="it takes more memory than transcode.max_memory")
    except OSError as error:
        return Answer(refusal=_in_words(error), is_temporary=error.errno != errno.EFBIG)
    except Exception as error:  # noqa: BLE001 - the boundary of a process: codecs raise what they like
        return Answer(refusal=f"unexpected {type(error).__name__}")


def _in_words(error: OSError) -> str:
    if error.errno == errno.EFBIG:
        return "it would be larger than a data set can be"
    return f"it cannot be written: {error.strerror}" if error.strerror else "it cannot be read or written"


def _confine(bounds: Bounds) -> None:
    """Give up what is not needed: priority, memory, files, core dumps; and be the first to go if memory is short."""
    with suppress(OSError):  # of no consequence
        os.nice(_NICE)
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (bounds.memory, bounds.memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (bounds.output, bounds.output))


def _end_with(channel: socket.socket) -> None:
    """End the process, whatever it is doing, once the worker's side of the socket is closed."""
    poll = select.poll()
    poll.register(channel, 0)  # a hang-up is always reported
    poll.poll()
    os._exit(1)
