"""Holding the lease of the storage: taken at the start, renewed while the node runs, let go of at its end.

Whoever looks at the lease judges it by the storage's clock: one that was not renewed for `LEASE_SECONDS` is free. The
node itself stops `_MARGIN_SECONDS` earlier, and counts from before it asked, so that it never writes while another
one may.

- At a start another node's lease is a reason not to start, unless it is to be taken over. Our own, of the same data
  folder on the same machine, is what a crash has left: it goes on being ours.
- A storage that does not answer is none: the node starts, receives into its spool, and asks again until it knows.
- A lease that was not renewed in time and that nobody took is taken again. One that another has taken is lost: that
  node has the archive now, and ours writes nothing more until somebody starts it again.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pacsnode.errors import PacsNodeError, PermanentError, StorageAway, StorageRefused, TemporaryError
from pacsnode.storage.lease import Holding, LeaseChanged, Leased, LeaseFile, LeasePlace, Reading, boot_time

log = logging.getLogger(__name__)

LEASE_SECONDS = 90.0
_MARGIN_SECONDS = 20.0
_RENEW_SECONDS = 20.0
_RETRY_SECONDS = 5.0
_ATTEMPTS = 3  # against others who write at the same moment

NODE = "pacsnode-node"
HOST = "pacsnode-host"
FOLDER = "pacsnode-folder"
RUN = "pacsnode-run"
SINCE = "pacsnode-since"
STATE = "pacsnode-lease"
_HELD, _FREE = "held", "free"
_REMEDY = (
    "one prefix has one writer: stop that node, or if it is gone for good start this one with --take-over"
)


class LeaseHeld(TemporaryError):
    """Another node has the lease."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who takes the lease: node.name, the machine, the data folder by a token of its own, and this run of it."""

    node: str
    host: str
    folder: str
    run: str

    def fields(self, since: str, state: str) -> dict[str, str]:
        """Return what is written."""
        return {
            NODE: self.node,
            HOST: self.host,
            FOLDER: self.folder,
            RUN: self.run,
            SINCE: since,
            STATE: state,
        }

    def wrote(self, fields: Mapping[str, str]) -> bool:
        """Return whether this run has written a lease."""
        return fields.get(RUN) == self.run

    def left(self, fields: Mapping[str, str]) -> bool:
        """Return whether this or an earlier run on our data folder has: there is no other at the same time."""
        return (fields.get(FOLDER), fields.get(HOST)) == (self.folder, self.host)


class _Ours(NamedTuple):
    holding: Holding
    since: str


class Lease:
    """One node's lease. One thread at a time calls `claim`, `step` and `release`, any thread `report`."""

    def __init__(
        self,
        place: LeasePlace,
        file: LeaseFile,
        writer: Writer,
        *,
        url: str,
        now: Callable[[], float] = boot_time,
    ) -> None:
        """`url` is what messages call the storage."""
        self._place = place
        self._file = file
        self._writer = writer
        self._url = url
        self._now = now
        self._ours: _Ours | None = None
        self._until = 0.0
        self._due = 0.0
        self._takes_over = False
        self._said = Leased(0.0)

    def claim(self, *, take_over: bool = False) -> None:
        """Take the lease at a start; raises `LeaseHeld` if another node has it and does not go on for that.

        A storage that is away, or refuses, is said in the log and asked again by `step`.
        """
        self._file.remove()
        self._takes_over = take_over
        try:
            self._take()
        except LeaseHeld:
            self._place.close()
            raise
        except (StorageAway, StorageRefused) as error:
            self._could_not(error)

    def resume(self) -> None:
        """Go on for a process that was replaced: what was lost stays lost, and what it had told still holds."""
        leased = self._file.read()
        if leased is not None:
            self._said, self._until = leased, leased.until

    def step(self) -> float:
        """Renew or take it if it is time to; return after how many seconds to come again."""
        if self._said.is_lost:
            return LEASE_SECONDS
        if (left := self._due - self._now()) > 0:
            return left
        seconds = _RENEW_SECONDS
        try:
            if self._ours is None:
                self._take()
            else:
                self._renew(self._ours)
        except LeaseHeld as error:
            self._tell(Leased(0.0, str(error), is_others=True))
        except (StorageAway, StorageRefused) as error:
            self._could_not(error)
            seconds = _RETRY_SECONDS
        self._due = self._now() + seconds
        return seconds

    def release(self) -> None:
        """Let go of it at a clean end, so that whoever is next does not wait, and of the place."""
        if self._ours is not None:
            try:
                fields = self._writer.fields(self._ours.since, _FREE)
                self._place.write(fields, over=self._ours.holding)
            except PacsNodeError as error:
                log.warning(
                    "the lease of %s could not be given back, and ends by itself: %s", self._url, error
                )
        if not self._said.is_lost:
            self._file.remove()
        self._place.close()

    def report(self) -> dict[str, object]:
        """Return what `status` shows: since when it is held, or why it is not."""
        said, ours = self._said, self._ours
        if said.trouble and (said.is_others or self._now() >= said.until):
            return {"since": None, "error": said.trouble}
        return {"since": None if ours is None else ours.since}

    # What is done

    def _take(self) -> None:
        for _ in range(_ATTEMPTS):
            begun = self._now()
            reading = self._place.read()
            found = reading.holding
            if found is not None and not self._may_have(found) and not self._takes_over:
                raise LeaseHeld(_held_words(self._url, found))
            since = reading.now.isoformat(timespec="seconds")
            try:
                holding = self._place.write(self._writer.fields(since, _HELD), over=found)
            except LeaseChanged:
                continue
            if found is not None and not self._may_have(found):
                log.warning("the lease of %s was taken over from %s", self._url, _holder(found.fields))
            self._takes_over = False
            self._have(_Ours(holding, since), begun)
            return
        raise StorageAway(f"the lease of {self._url} changes faster than it can be taken")

    def _may_have(self, found: Holding) -> bool:
        return found.fields.get(STATE) != _HELD or self._writer.left(found.fields) or _is_over(found)

    def _renew(self, ours: _Ours) -> None:
        for _ in range(_ATTEMPTS):
            begun = self._now()
            try:
                holding = self._place.write(self._writer.fields(ours.since, _HELD), over=ours.holding)
            except LeaseChanged:
                found = self._place.read()
                if found.holding is None:  # somebody has removed it, and nobody has it
                    self._ours = None
                    self._take()
                    return
                if not self._writer.wrote(found.holding.fields):
                    self._lose(found)
                    return
                ours = ours._replace(holding=found.holding)  # ours: an answer was lost
            else:
                self._have(ours._replace(holding=holding), begun)
                return
        raise StorageAway(f"the lease of {self._url} changes faster than it can be renewed")

    def _have(self, ours: _Ours, begun: float) -> None:
        if self._said.trouble:
            log.info("the lease of %s is ours", self._url)
        self._ours = ours
        self._until = begun + LEASE_SECONDS - _MARGIN_SECONDS
        self._due = self._now() + _RENEW_SECONDS
        self._tell(Leased(self._until))

    def _lose(self, found: Reading) -> None:
        assert found.holding is not None
        self._ours = None
        self._tell(
            Leased(0.0, f"lost: {_held_words(self._url, found.holding)}", is_others=True, is_lost=True)
        )

    def _could_not(self, error: TemporaryError | PermanentError) -> None:
        self._due = self._now() + _RETRY_SECONDS
        self._tell(Leased(self._until, f"the lease of {self._url} cannot be had: {error}"))

    def _tell(self, leased: Leased) -> None:
        """Tell the other processes, and the log what is new; what cannot be told ends by itself."""
        if leased.trouble and leased.trouble != self._said.trouble:
            severity = logging.ERROR if leased.is_others else logging.WARNING
            log.log(severity, "%s; images are received and wait in the spool", leased.trouble)
        self._said = leased
        try:
            self._file.write(leased)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._file.path, error.strerror)


def _is_over(found: Holding) -> bool:
    return found.age_seconds > LEASE_SECONDS


def _held_words(url: str, found: Holding) -> str:
    return f"{url} is written by {_holder(found.fields)}; {_REMEDY}"


def _holder(fields: Mapping[str, str]) -> str:
    node, host = fields.get(NODE, "?"), fields.get(HOST, "?")
    return f'node "{node}" on host {host} since {fields.get(SINCE, "?")}'
