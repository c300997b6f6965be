"""I3 and F1: whatever comes over a connection, and wherever it is cut, the node goes on and nothing is left behind.

One node in this process is shared by all sessions of a proof. After each of them the threads of its association, its
descriptors and what it has received must go by themselves; after all of them the node must answer as on its first day.
"""

import logging
import os
import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate, count, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pacsnode.config import Config
from pacsnode.dicom.attributes import Level
from pacsnode.dicom.query import InformationModel, Query
from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN
from pacsnode.dimse.association.acse import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    Proposal,
    Roles,
    encode_request,
)
from pacsnode.dimse.association.command import CommandField, Element
from pacsnode.dimse.association.pdu import A_RELEASE_RP, A_RELEASE_RQ, HEADER, PDUType, a_abort
from pacsnode.node import Node
from tests.dimse_peers import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    Received,
    cancel_request,
    echo_request,
    message,
    read_message,
    read_pdu,
    read_to_end,
    request_command,
    response_message,
    store_request,
    us_of,
)
from tests.factories import CT, Sample, element, padded
from tests.faults import bounded
from tests.prove.conftest import Effort

pytestmark = pytest.mark.prove

_SECONDS = 5.0  # the longest that anything may hang or linger
_REPLY_SECONDS = 0.02  # a mutated conversation goes on without the answer that does not come
_CLIENTS = 4
_SOP_CLASSES = (VERIFICATION, CT, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET)
_IDS = {sop_class: 2 * at + 1 for at, sop_class in enumerate(_SOP_CLASSES)}
_ASSOCIATE = encode_request(
    AssociateRequest(
        "PACSNODE",
        "FUZZER",
        APPLICATION_CONTEXT_NAME,
        tuple(Proposal(_IDS[uid], uid, (EXPLICIT_VR_LITTLE_ENDIAN,)) for uid in _SOP_CLASSES),
        16384,
        {CT: Roles(is_scu=True, is_scp=True)},
    ),
    our_max_pdu_bytes=16384,
)
_STUDY = "1.2.826.7.9"
_SERIES = f"{_STUDY}.1"
_KEPT = tuple(Sample(number, study=_STUDY, series=_SERIES) for number in (1, 2, 3))


def _identifier(level: str) -> bytes:
    value = level.encode() + b" " * (len(level) % 2)
    return element(0x00080052, "CS", value) + element(0x0020000D, "UI", padded(_STUDY))


def _query(field: CommandField, sop_class: str, message_id: int, level: str = "STUDY", to: str = "") -> bytes:
    command = request_command(field, sop_class, message_id, has_data_set=True, destination=to)
    return message(_IDS[sop_class], command, _identifier(level), fragment_bytes=32)


def _stored(message_id: int) -> bytes:
    return response_message(CommandField.C_STORE, message_id, 0, context_id=_IDS[CT])


def _store(sample: Sample, message_id: int, fragment_bytes: int = 64) -> bytes:
    return store_request(sample, message_id, context_id=_IDS[CT], fragment_bytes=fragment_bytes)


class _Errors(logging.Handler):
    """Keeps what the node logs as an error: an unexpected one, or a job's that failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Target:
    """A node with three instances, and one more to move them to; what both hold, and whether it is let go of."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._errors = _Errors()
        logger = logging.getLogger("pacsnode")
        logger.addHandler(self._errors)
        stack.callback(logger.removeHandler, self._errors)
        sink = stack.enter_context(Node(_config(folder / "sink", ae_title="SINK")))
        peers = [{"ae_title": "SINK", "host": "127.0.0.1", "port": sink.port}]
        self.node = stack.enter_context(Node(_config(folder / "node", peers=peers)))
        self._folder = folder
        with self.connection() as connection:
            stores = b"".join(_store(sample, number) for number, sample in enumerate(_KEPT))
            connection.sendall(
                _ASSOCIATE + stores + _query(CommandField.C_MOVE, STUDY_ROOT_MOVE, 9, to="SINK")
            )
            assert read_pdu(connection)[0] == PDUType.A_ASSOCIATE_AC
            answers = [us_of(read_message(connection).command, Element.STATUS) for _ in _KEPT]
            assert answers == [0, 0, 0]
            while us_of(read_message(connection).command, Element.STATUS) != 0:
                pass  # the move's pending answers
        self._descriptors = 0
        self.settle()
        self._descriptors = self._open()

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=_SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection

    def instances(self) -> int:
        """Return how many instances are served."""
        every = Query(InformationModel.PATIENT_ROOT, Level.IMAGE, (), ())
        return self.node.index.count(every, at_most=10_000_000)

    def settle(self) -> None:
        """Check that soon no thread, descriptor or nameless file is left, and that each name in the spool has a row."""
        left = list[str]()
        for _ in bounded(_SECONDS):
            left = self._left()
            if not left:
                break
        assert not left, f"left after {_SECONDS:g} s: {left}"
        assert self._errors.lines == []

    def _left(self) -> list[str]:
        threads = [t.name for t in threading.enumerate() if t.name.startswith(("association-", "move-to-"))]
        opened = self._open()
        descriptors = [f"{opened} descriptors"] if self._descriptors and opened > self._descriptors else []
        entries = {entry.token: entry.name for entry in self.node.spool.entries()}
        # A file whose row is not waiting was filed just now, and goes: it must not be there the next time.
        waiting = {row.token for row in self.node.index.waiting(limit=1_000_000)} if entries else set()
        return threads + descriptors + [name for token, name in entries.items() if token not in waiting]

    def _open(self) -> int:
        """Count descriptors but those of the databases, which keep a pool, and the files being filed."""
        found = 0
        for number in os.listdir("/proc/self/fd"):
            try:
                name = os.readlink(f"/proc/self/fd/{number}")
            except FileNotFoundError:
                continue
            found += name.startswith("socket:") or "eventfd" in name or "/spool" in name
        return found

    def require_well(self) -> None:
        """Check that the node is as on its first day: it answers, and what it acknowledged is in its storage."""
        self.settle()
        with self.connection() as connection:
            connection.sendall(_ASSOCIATE + echo_request(7))
            assert read_pdu(connection)[0] == PDUType.A_ASSOCIATE_AC
            assert us_of(read_message(connection).command, Element.STATUS) == 0
            connection.sendall(A_RELEASE_RQ)
            assert read_to_end(connection) == A_RELEASE_RP
        self.settle()
        names = list[str]()
        for _ in bounded(60.0):
            names = sorted(
                path.name for path in (self._folder / "node" / "spool").rglob("*") if path.is_file()
            )
            if not names:
                break
        assert not names, "the spool is not clean"


def _config(folder: Path, *, ae_title: str = "PACSNODE", **sections: Any) -> Config:
    return Config.model_validate(
        {
            "node": {"data_dir": str(folder)},
            "dicom": {"port": 0, "ae_title": ae_title},
            "access": {"unknown_peers": "all"},
            "spool": {"min_free": "1 MiB"},
            **sections,
        }
    )


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """A node that is used as an archive, and must be well at the end."""
    with ExitStack() as stack:
        target = Target(stack, tmp_path)
        yield target
        target.require_well()


# State-aware sessions

_cuts = st.lists(st.integers(1, 400), max_size=8)


def machine_for(
    target: Target, sessions: "Counter[str]", numbers: Iterator[int]
) -> type[RuleBasedStateMachine]:
    """Return the machine that drives a node through conversations of any order, in any pieces."""

    class Session(RuleBasedStateMachine):
        """An association: every operation that is right gets the right answer, and every end leaves nothing."""

        def __init__(self) -> None:
            super().__init__()
            self.connection: socket.socket | None = None
            self.message_id = 0

        @property
        def open(self) -> socket.socket:
            assert self.connection is not None
            return self.connection

        def send(self, data: bytes, cuts: Sequence[int] = ()) -> None:
            places = [at for at in accumulate(cuts) if at < len(data)]
            for start, end in pairwise([0, *places, len(data)]):
                self.open.sendall(data[start:end])

        def next_id(self, operation: str) -> int:
            sessions[operation] += 1
            self.message_id += 1
            return self.message_id

        def answer(self) -> Received:
            """Return the next answer; a C-STORE of the node's is answered on the way, the pending ones are left out."""
            while True:
                found = read_message(self.open)
                field = us_of(found.command, Element.COMMAND_FIELD)
                if field == CommandField.C_STORE:
                    self.send(_stored(us_of(found.command, Element.MESSAGE_ID) or 0))
                elif us_of(found.command, Element.STATUS) not in (0xFF00, 0xFF01):
                    return found

        def assert_answered(self, message_id: int, *statuses: int) -> None:
            command = self.answer().command
            assert us_of(command, Element.MESSAGE_ID_BEING_RESPONDED_TO) == message_id
            assert us_of(command, Element.STATUS) in statuses

        @initialize(cuts=_cuts)
        def begin(self, cuts: list[int]) -> None:
            self.associate(cuts)

        @precondition(lambda self: self.connection is None)
        @rule(cuts=_cuts)
        def associate(self, cuts: list[int]) -> None:
            sessions["associations"] += 1
            self.connection = socket.create_connection(("127.0.0.1", target.node.port), timeout=_SECONDS)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.send(_ASSOCIATE, cuts)
            assert read_pdu(self.connection)[0] == PDUType.A_ASSOCIATE_AC

        @precondition(lambda self: self.connection is not None)
        @rule(cuts=_cuts)
        def echo(self, cuts: list[int]) -> None:
            message_id = self.next_id("echoes")
            self.send(echo_request(message_id), cuts)
            self.assert_answered(message_id, 0)

        @precondition(lambda self: self.connection is not None)
        @rule(
            cuts=_cuts,
            fragment_bytes=st.integers(1, 300),
            words=st.binary(max_size=600),
            is_new=st.booleans(),
        )
        def store(self, cuts: list[int], fragment_bytes: int, words: bytes, is_new: bool) -> None:
            message_id = self.next_id("stores")
            before = target.instances()
            number = next(numbers) if is_new else 0
            sample = Sample(number, words=words + b"\0" * (len(words) % 2))
            self.send(_store(sample, message_id, fragment_bytes), cuts)
            self.assert_answered(message_id, 0)
            if is_new:
                assert target.instances() == before + 1

        @precondition(lambda self: self.connection is not None)
        @rule(cuts=_cuts, level=st.sampled_from(("STUDY", "SERIES")), is_cancelled=st.booleans())
        def find(self, cuts: list[int], level: str, is_cancelled: bool) -> None:
            message_id = self.next_id("finds")
            cancel = cancel_request(message_id, context_id=_IDS[STUDY_ROOT_FIND]) if is_cancelled else b""
            self.send(_query(CommandField.C_FIND, STUDY_ROOT_FIND, message_id, level) + cancel, cuts)
            self.assert_answered(message_id, *((0, 0xFE00) if is_cancelled else (0,)))

        @precondition(lambda self: self.connection is not None)
        @rule(cuts=_cuts, is_cancelled=st.booleans())
        def get(self, cuts: list[int], is_cancelled: bool) -> None:
            message_id = self.next_id("gets")
            cancel = cancel_request(message_id, context_id=_IDS[STUDY_ROOT_GET]) if is_cancelled else b""
            self.send(_query(CommandField.C_GET, STUDY_ROOT_GET, message_id) + cancel, cuts)
            self.assert_answered(message_id, *((0, 0xFE00) if is_cancelled else (0,)))

        @precondition(lambda self: self.connection is not None)
        @rule()
        def cancel_what_is_over(self) -> None:
            self.send(cancel_request(self.message_id or 1))
            self.echo([])

        @precondition(lambda self: self.connection is not None)
        @rule(cuts=_cuts)
        def release(self, cuts: list[int]) -> None:
            self.send(A_RELEASE_RQ, cuts)
            assert read_to_end(self.open) == A_RELEASE_RP
            self.end("releases")

        @precondition(lambda self: self.connection is not None)
        @rule(at=st.integers(0, 600), is_reset=st.booleans(), is_said=st.booleans())
        def abort(self, at: int, is_reset: bool, is_said: bool) -> None:
            """End in the middle of something, with or without a word."""
            before = target.instances()
            whole = _store(Sample(next(numbers)), self.next_id("aborts"))
            self.send(whole[: min(at, len(whole) - 1)] + (a_abort(0, 0) if is_said and not at else b""))
            if is_reset:
                self.open.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.end("ends")
            assert target.instances() == before

        @precondition(lambda self: self.connection is not None)
        @rule(junk=st.binary(min_size=1, max_size=200), at=st.integers(0, 600), kind=st.integers(0, 8))
        def garbage(self, junk: bytes, at: int, kind: int) -> None:
            """Send what makes no sense between messages or within one; the node must hang up when we do."""
            head = HEADER.pack(kind, len(junk)) if kind else b""
            self.send(_store(Sample(next(numbers)), self.next_id("garbage"))[:at] + head + junk)
            self.open.shutdown(socket.SHUT_WR)
            _drain(self.open)
            self.end("ends")

        def end(self, how: str) -> None:
            sessions[how] += 1
            self.open.close()
            self.connection = None
            target.settle()

        @invariant()
        def nothing_was_unexpected(self) -> None:
            assert target._errors.lines == []

        def teardown(self) -> None:
            if self.connection is not None:
                self.end("ends")

    return Session


def test_i3_sessions(target: Target, effort: Effort, summary: Callable[[str], None]) -> None:
    did, started = Counter[str](), time.monotonic()
    run_state_machine_as_test(
        machine_for(target, did, count(1)),
        settings=settings(
            max_examples=effort.of(200, 20_000),
            stateful_step_count=12,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    figures = ", ".join(f"{number} {name}" for name, number in sorted(did.items()))
    summary(f"I3 sessions: {figures} in {time.monotonic() - started:.0f} s")
    assert min(did[name] for name in ("echoes", "stores", "finds", "gets", "releases", "garbage")) > 0


# Recorded conversations, mutated


def _conversations() -> tuple[tuple[bytes, ...], ...]:
    """Return conversations as what a client sends between two answers."""
    stored = tuple(_store(Sample(number, words=bytes(200)), number) for number in (1, 2))
    cancel = cancel_request(1, context_id=_IDS[STUDY_ROOT_FIND])
    return (
        (_ASSOCIATE, echo_request(1), stored[0], stored[1], A_RELEASE_RQ),
        (_ASSOCIATE + b"".join(stored), A_RELEASE_RQ),
        (_ASSOCIATE, _query(CommandField.C_FIND, STUDY_ROOT_FIND, 1), cancel, A_RELEASE_RQ),
        (_ASSOCIATE, _query(CommandField.C_GET, STUDY_ROOT_GET, 1), *map(_stored, (1, 2, 3)), A_RELEASE_RQ),
        (_ASSOCIATE, _query(CommandField.C_MOVE, STUDY_ROOT_MOVE, 1, to="SINK"), A_RELEASE_RQ),
        (_ASSOCIATE, stored[0], a_abort(0, 0)),
    )


def _pdus(data: bytes) -> list[bytes]:
    found, at = list[bytes](), 0
    while at < len(data):
        end = at + HEADER.size + HEADER.unpack_from(data, at)[1]
        found.append(data[at:end])
        at = end
    return found


def _flip(dice: random.Random, pdu: bytes) -> bytes:
    changed = bytearray(pdu)
    for _ in range(dice.choice((1, 1, 1, 2, 8))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _cut(dice: random.Random, pdu: bytes) -> bytes:
    start, end = sorted(dice.randrange(len(pdu) + 1) for _ in range(2))
    return pdu[:start] + pdu[end:]


def _duplicate(dice: random.Random, pdu: bytes) -> bytes:
    start, end = sorted(dice.randrange(len(pdu) + 1) for _ in range(2))
    return pdu + pdu if dice.random() < 0.3 else pdu[:end] + pdu[start:]


def _insert(dice: random.Random, pdu: bytes) -> bytes:
    at = dice.randrange(len(pdu) + 1)
    return pdu[:at] + dice.randbytes(dice.choice((1, 2, 4, 16, 300))) + pdu[at:]


def _lie(dice: random.Random, pdu: bytes) -> bytes:
    """Write a wrong length: the PDU's, its first item's, or over any four bytes."""
    at = dice.choice((2, 6, dice.randrange(max(1, len(pdu) - 4))))
    right = int.from_bytes(pdu[at : at + 4])
    wrong = dice.choice((0, 1, right - 1, right + 1, right * 2, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF))
    return pdu[:at] + (wrong & 0xFFFFFFFF).to_bytes(4) + pdu[at + 4 :]


def _retype(dice: random.Random, pdu: bytes) -> bytes:
    return bytes((dice.randrange(9),)) + pdu[1:]


_MUTATIONS = (_flip, _flip, _cut, _duplicate, _insert, _lie, _retype)


def _drain(connection: socket.socket) -> None:
    """Read until the node hangs up, or resets a connection with bytes that it did not want."""
    try:
        read_to_end(connection)
    except (ConnectionResetError, BrokenPipeError):
        return


class Fuzzer(threading.Thread):
    """A client that plays conversations with mutated PDUs. Its seed tells what it sends."""

    def __init__(self, target: Target, seed: int, number: int) -> None:
        super().__init__(name=f"fuzzer-{seed}")
        self._target = target
        self._seed = seed
        self._number = number
        self._dice = random.Random(seed)
        self._conversations = _conversations()
        self.mutated = 0
        self.slowest = 0.0
        self.failed: str | None = None

    def run(self) -> None:
        while self.mutated < self._number and self.failed is None:
            at = self.mutated
            started = time.monotonic()
            try:
                self._play(self._mutation(self._dice.choice(self._conversations)))
            except OSError as error:  # TimeoutError: it hangs
                self.failed = f"seed {self._seed}, PDU {at}: {error!r}"
            self.slowest = max(self.slowest, time.monotonic() - started)

    def _mutation(self, conversation: Sequence[bytes]) -> list[bytes]:
        steps = [_pdus(step) for step in conversation]
        for _ in range(self._dice.choice((1, 1, 1, 2, 4))):
            # The request comes first in each conversation, and little of the rest is reached when it is spoilt.
            pdus = self._dice.choice(steps if self._dice.random() < 0.1 else steps[1:])
            at = self._dice.randrange(len(pdus))
            pdus[at] = self._dice.choice(_MUTATIONS)(self._dice, pdus[at]) or pdus[at]
            self.mutated += 1
        return [b"".join(pdus) for pdus in steps]

    def _play(self, steps: Sequence[bytes]) -> None:
        with self._target.connection() as connection:
            try:
                for step in steps:
                    connection.sendall(step)
                    if select.select([connection], [], [], _REPLY_SECONDS)[0] and not connection.recv(
                        1 << 16
                    ):
                        return
                connection.shutdown(socket.SHUT_WR)
            except (ConnectionResetError, BrokenPipeError):
                return
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise
                return  # shutdown of what is reset already
            _drain(connection)


def test_i3_mutated_conversations(target: Target, effort: Effort, summary: Callable[[str], None]) -> None:
    total, started = effort.of(10_000, 1_000_000), time.monotonic()
    base = random.randrange(1 << 32)
    fuzzers = [Fuzzer(target, base + at, total // _CLIENTS) for at in range(_CLIENTS)]
    for fuzzer in fuzzers:
        fuzzer.start()
    for fuzzer in fuzzers:
        fuzzer.join()
    slowest = max(fuzzer.slowest for fuzzer in fuzzers)
    summary(
        f"I3 mutations: {sum(fuzzer.mutated for fuzzer in fuzzers)} mutated PDUs in "
        f"{time.monotonic() - started:.0f} s, slowest conversation {slowest:.2f} s, seed {base}"
    )
    assert [fuzzer.failed for fuzzer in fuzzers if fuzzer.failed] == []
    target.settle()


# Cut connections


def test_f1_connection_cut(target: Target, effort: Effort, summary: Callable[[str], None]) -> None:
    cuts, kept, started = effort.of(200, 2_000), 0, time.monotonic()
    seed = random.randrange(1 << 32)
    dice, before = random.Random(seed), target.instances()
    for number in range(1, cuts + 1):
        stored = _ASSOCIATE + _store(Sample(number, words=bytes(2 * dice.randrange(2000))), 1, 512)
        whole = stored + A_RELEASE_RQ
        offset = dice.randrange(len(whole) + 1)
        with target.connection() as connection:
            connection.sendall(whole[:offset])
            if offset > len(_ASSOCIATE):
                assert read_pdu(connection)[0] == PDUType.A_ASSOCIATE_AC
            if offset >= len(stored):
                assert us_of(read_message(connection).command, Element.STATUS) == 0
                kept += 1
            elif dice.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        target.settle()
        assert target.instances() == before + kept, f"seed {seed}, cut {number} at {offset} of {len(whole)}"
    summary(
        f"F1: {cuts} cuts, {kept} of them behind the instance, in {time.monotonic() - started:.0f} s, seed {seed}"
    )
