"""The sub-operations of a C-MOVE: a plan sent to a destination over one or several associations (PS3.4 C.4.2).

Each association is a line: a thread that takes the next instance, sends it and counts what becomes of it, in the order
of the plan. Where the destination may have several, further lines begin as soon as the first is accepted; one that is
not accepted is done without. All lines take from one read-ahead and count in one place, so the counts are exact
whoever sent what, and each line sends in order.

A destination that drops an association is called again: the instance with which it ended is tried once more, by
whichever line, then counted as failed, and the rest goes on. `endurance` says when a destination is given up; what is
left then has failed, for that reason.

Nothing is left behind: a cancelled job ends with the instance that is being sent, and `close` cuts the connections of
lines that hang.
"""

import logging
import os
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass

from pacsnode.archive.read_ahead import Prepared
from pacsnode.archive.retrieve import Retrieve, SubOperations
from pacsnode.dimse.association.conversation import Conversation
from pacsnode.dimse.association.endings import AssociationOver
from pacsnode.dimse.association.requestor import Caller, Rejected, Remote, associate
from pacsnode.dimse.association.sender import MoveOriginator
from pacsnode.dimse.endurance import Endurance
from pacsnode.dimse.lines import Lines
from pacsnode.dimse.pending import Pace
from pacsnode.dimse.proposing import Kind, contexts_of, kind_of, parts_of
from pacsnode.dimse.sub_operations import InstanceSender
from pacsnode.errors import NetworkError
from pacsnode.index.base import Located

log = logging.getLogger(__name__)

_MAX_LOSSES = 2  # of one instance
_TAKE_SECONDS = 1.0
_GRACE_SECONDS = 2.0  # for an instance that is being sent, before its connection is cut
_LINE_END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a C-MOVE asks for: who sends to whom for whom, over how many associations at most."""

    caller: Caller
    destination: Remote
    originator: MoveOriginator
    priority: int = 0
    associations: int = 1
    preferred: tuple[str, ...] = ()  # transfer syntaxes that the destination is to be sent


class MoveJob:
    """Sends a plan in threads of its own, so that the requestor's association stays attended.

    `wake_descriptor` becomes readable when the requestor is to hear of it; `counts` may be read at any time, and is
    final once `is_finished`. `start` once, `close` once.
    """

    def __init__(
        self,
        plan: Sequence[Located],
        order: Order,
        *,
        retrieve: Retrieve,
        lines: Lines,
        endurance: Endurance,
    ) -> None:
        """`lines` counts the associations of all jobs, by destination."""
        self.order = order
        self.counts = SubOperations(total=len(plan))
        self.wake_descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.is_finished = False
        self.associations = 0  # that were established
        self.ahead = retrieve.read_ahead(plan, wanted_in=self._wanted_in)
        self.endurance = endurance
        self.precedence = retrieve.precedence
        self._parts = list(parts_of(plan, order.preferred))
        self._ends = [end for end, _ in self._parts]
        self._chosen: dict[Kind, str | None] = {}  # by what was accepted of late
        self._places = lines
        self._lock = threading.Lock()
        self._threads: list[_Line] = []
        self._live = 0  # lines that may still send
        self._is_finishing = False
        self._pace = Pace()
        self._is_cancelled = threading.Event()
        self._given_up = ""  # why

    # For the requestor's association

    def start(self) -> None:
        """Begin to send."""
        if not self._parts:
            self.is_finished = True
            return
        self._places.take(self.order.destination)
        self._begin_line()

    def cancel(self) -> None:
        """Stop after the instances that are being sent."""
        self._is_cancelled.set()
        self.ahead.give_up()

    def cut(self) -> None:
        """Break off what is being sent."""
        self.cancel()
        with self._lock:
            lines = list(self._threads)
        for line in lines:
            line.cut()

    def close(self, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Stop, break off what takes longer than the grace, and let go of everything."""
        self.cancel()
        deadline = time.monotonic() + grace_seconds
        if not self._joined(deadline):
            self.cut()
            if not self._joined(deadline + _LINE_END_SECONDS):
                log.error("move to %s: an association does not end", self.order.destination.ae_title)
                return
        os.close(self.wake_descriptor)

    def _joined(self, deadline: float) -> bool:
        with self._lock:
            lines = list(self._threads)
        for line in lines:
            line.join(max(0.0, deadline - time.monotonic()))
        return not any(line.is_alive() for line in lines)

    def acknowledge(self) -> None:
        """Make the wake descriptor unreadable until the next change."""
        try:
            os.eventfd_read(self.wake_descriptor)
        except BlockingIOError:
            return

    @property
    def is_given_up(self) -> bool:
        """Whether the destination was given up before the end of the plan."""
        return bool(self._given_up)

    # For the lines

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._is_cancelled.is_set() or bool(self._given_up)

    def contexts(self, part: int) -> list[tuple[str, tuple[str, ...]]]:
        """Return what to propose for a part of the plan."""
        return contexts_of(self._parts[part][1], self.order.preferred)

    def _wanted_in(self, located: Located) -> str | None:
        """Return the transfer syntax to read an instance in: as stored, while the destination has not been asked."""
        return self._chosen.get(kind_of(located), located.transfer_syntax_uid)

    def part_of(self, prepared: Prepared) -> int:
        """Return the part of the plan that an instance belongs to."""
        return bisect_right(self._ends, prepared.number)

    def established(self, part: int, sender: InstanceSender) -> None:
        """Note an association for a part, and begin further lines if there is room and work for them."""
        self.endurance.associated()
        with self._lock:
            self.associations += 1
        self._chosen.update((kind, sender.wanted_in(kind)) for kind in self._parts[part][1])
        while len(self._threads) < min(self.order.associations, self.counts.remaining):
            if not self._places.take_below(self.order.destination, self.order.associations):
                return
            if not self._begin_line():
                return

    def progressed(self) -> None:
        """Wake the requestor's association, unless it was woken often of late."""
        if self._pace.is_due():
            os.eventfd_write(self.wake_descriptor, 1)

    def lost(self, prepared: Prepared, over: AssociationOver) -> None:
        """Have an instance tried again with which an association ended, or count it."""
        prepared.losses += 1
        if prepared.losses < _MAX_LOSSES or self.is_stopped:
            self.ahead.give_back(prepared)
        else:
            self.counts.fail(prepared.located.sop_instance_uid, str(over))
            self.ahead.release(prepared)

    def give_up(self, reason: str) -> None:
        """Send nothing more; what is left has failed."""
        self._given_up = self._given_up or reason
        self.ahead.give_up()

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than until the job is cancelled."""
        self._is_cancelled.wait(seconds)

    def is_left_to_others(self) -> bool:
        """Return whether a line may end because others go on; it is counted out then."""
        with self._lock:
            if self._live == 1:
                return False
            self._live -= 1
        return True

    def may_end(self) -> bool:
        """Return whether a line may end, and is counted out; the last one may not while an instance has come back."""
        with self._lock:
            if self._live == 1 and not (self.is_stopped or self.ahead.is_exhausted):
                return False
            self._live -= 1
        return True

    def line_ended(self, *, is_counted_out: bool) -> None:
        """Note the end of a line; the last one finishes the job."""
        self._places.give_back(self.order.destination)
        with self._lock:
            self._live -= not is_counted_out
            if self._live or self._is_finishing:
                return
            self._is_finishing = True
        self.ahead.close()
        if not self._is_cancelled.is_set():
            for located in self.ahead.not_ended():
                self.counts.fail(located.sop_instance_uid, self._given_up or "not sent")
        self.is_finished = True
        os.eventfd_write(self.wake_descriptor, 1)

    def _begin_line(self) -> bool:
        """Start a line, for which a place was taken; false if there is no thread to be had."""
        line = _Line(self)
        with self._lock:
            self._live += 1
            self._threads.append(line)
        try:
            line.start()
        except RuntimeError:
            with self._lock:
                self._threads.remove(line)
            self.line_ended(is_counted_out=False)
            return False
        return True


class _Line(threading.Thread):
    """One association after the other to the destination, until there is nothing left."""

    _conversation: Conversation | None = None

    def __init__(self, job: MoveJob) -> None:
        super().__init__(name=f"move-to-{job.order.destination.ae_title}", daemon=True)
        self._job = job
        self._context = copy_context()  # the requestor's association is on this thread's log lines too

    def cut(self) -> None:
        """End the connection, from another thread."""
        conversation = self._conversation
        if conversation is not None:
            conversation.transport.cut()

    def run(self) -> None:
        """Send, and let the job know when that is over."""
        self._context.run(self._run)

    def _run(self) -> None:
        is_counted_out = False
        try:
            self._send_all()
            is_counted_out = True
        except Exception:  # the named boundary of a retrieve's own thread
            log.exception("move to %s: unexpected error", self._job.order.destination.ae_title)
        finally:
            self._job.line_ended(is_counted_out=is_counted_out)

    def _send_all(self) -> None:
        job, part, is_done = self._job, 0, False
        while not ((is_done or job.is_stopped) and job.may_end()):
            try:
                following = self._over_one_association(part)
                part, is_done = (part, True) if following is None else (following, False)
            except AssociationOver as over:
                if not job.endurance.may_follow_loss():
                    job.give_up(str(over))
                is_done = job.ahead.is_exhausted
            except NetworkError as error:
                if job.is_left_to_others():
                    return
                self._wait_or_give_up(error)

    def _wait_or_give_up(self, error: NetworkError) -> None:
        is_temporary = isinstance(error, Rejected) and error.is_temporary
        seconds = self._job.endurance.wait_after_failure(is_temporary=is_temporary)
        if seconds is None:
            self._job.give_up(str(error))
        else:
            self._job.wait(seconds)

    def _over_one_association(self, part: int) -> int | None:
        """Send what one association's contexts allow; return the part to go on with, None if there is nothing left.

        Raises `NetworkError` if there is no association, `AssociationOver` if it ends while something is sent.
        """
        job, order = self._job, self._job.order
        conversation = associate(order.caller, order.destination, job.contexts(part))
        self._conversation = conversation
        sender = InstanceSender(
            conversation,
            job.counts,
            as_requestor=True,
            originator=order.originator,
            priority=order.priority,
            preferred=order.preferred,
        )
        try:
            job.established(part, sender)
            following = self._send(sender, part)
        except AssociationOver as over:
            conversation.abort(over)
            raise
        except BaseException:
            conversation.abort()
            raise
        finally:
            self._conversation = None
        try:
            conversation.release()
        except AssociationOver as over:  # everything was answered
            conversation.abort(over)
        return following

    def _send(self, sender: InstanceSender, part: int) -> int | None:
        job = self._job
        while not job.is_stopped:
            prepared = job.ahead.take(_TAKE_SECONDS)
            if prepared is None:
                if job.ahead.is_exhausted:
                    break
                continue
            if (following := job.part_of(prepared)) != part:
                job.ahead.give_back(prepared)
                return following
            job.precedence.give_way(job.order.priority)
            try:
                is_sent = sender.send(prepared, job.ahead)
            except AssociationOver as over:
                job.lost(prepared, over)
                raise
            job.ahead.release(prepared)
            if is_sent:
                job.endurance.delivered()
            job.progressed()
        return None
