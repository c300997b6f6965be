"""Limits: each counts for whom it is for, over all processes, and gives back what was taken, by the dead too."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Self

import pytest

from pacsnode.dimse import admission as module
from pacsnode.dimse.admission import Admission, Limits, Place, Reached, shared_memory

MANY = Limits(associations=1000)


@pytest.fixture
def admission() -> Iterator[Admission]:
    admission = Admission()
    yield admission
    admission.close()


@pytest.fixture
def descriptor() -> Iterator[int]:
    descriptor = shared_memory()
    yield descriptor
    os.close(descriptor)


def taken(admission: Admission, ip: str, title: str, limits: Limits = MANY, **of_peer: object) -> Place:
    place = admission.take(ip, title, limits, **of_peer)  # type: ignore[arg-type]
    assert isinstance(place, Place)
    return place


@pytest.mark.parametrize(
    ("limits", "refused", "key"),
    [
        (Limits(associations=2), ("b", "Y"), "dicom.max_associations"),
        (Limits(associations=9, per_ip=2), ("a", "Y"), "limits.per_ip"),
        (Limits(associations=9, per_ae=2), ("b", "X"), "limits.per_ae"),
    ],
)
def test_the_limit_that_is_reached_is_named(
    admission: Admission, limits: Limits, refused: tuple[str, str], key: str
) -> None:
    first = taken(admission, "a", "X", limits)
    taken(admission, "a", "X", limits)
    assert admission.take(*refused, limits) == Reached(key)
    admission.give_back(first)
    taken(admission, *refused, limits)


def test_one_callers_limit_never_touches_another(admission: Admission) -> None:
    limits = Limits(associations=9, per_ip=1, per_ae=1)
    taken(admission, "a", "X", limits)
    assert admission.take("a", "Y", limits) == Reached("limits.per_ip")
    assert admission.take("b", "X", limits) == Reached("limits.per_ae")
    taken(admission, "b", "Y", limits)


@pytest.mark.parametrize(("of_peer", "fit"), [(1, 1), (3, 3), (0, 2)])
def test_a_peers_own_limit_stands_in_for_that_of_all_titles(
    admission: Admission, of_peer: int, fit: int
) -> None:
    limits = Limits(associations=9, per_ae=2)
    for _ in range(fit):
        taken(admission, "a", "X", limits, max_of_peer=of_peer, peer_key="peers.x.max_associations")
    reached = admission.take("a", "X", limits, max_of_peer=of_peer, peer_key="peers.x.max_associations")
    assert reached == Reached("peers.x.max_associations" if of_peer else "limits.per_ae")
    taken(admission, "a", "Y", limits)


def test_zero_is_no_limit(admission: Admission) -> None:
    assert len({taken(admission, "a", "X").slot for _ in range(1000)}) == 1000
    assert admission.take("a", "X", MANY) == Reached("dicom.max_associations")
    assert admission.taken() == 1000


def test_there_are_as_many_places_as_can_be_configured(admission: Admission) -> None:
    limits = Limits(associations=module.SLOTS, per_ip=module.SLOTS)
    for _ in range(module.SLOTS):
        taken(admission, "a", "X", limits)
    assert admission.take("b", "Y", Limits(associations=2 * module.SLOTS)) == Reached(
        "dicom.max_associations"
    )


def test_other_limits_count_what_was_taken_before_them(admission: Admission) -> None:
    for _ in range(3):
        taken(admission, "a", "X")
    assert admission.take("a", "X", Limits(associations=9, per_ip=3)) == Reached("limits.per_ip")
    assert admission.take("b", "X", Limits(associations=9, per_ae=3)) == Reached("limits.per_ae")
    assert admission.take("b", "Y", Limits(associations=2)) == Reached("dicom.max_associations")


def test_the_lowest_free_place_is_taken_and_only_the_used_ones_are_looked_at(admission: Admission) -> None:
    places = [taken(admission, "a", "X") for _ in range(5)]
    assert [place.slot for place in places] == [0, 1, 2, 3, 4]
    admission.give_back(places[3])
    assert len(admission._owners()) == 5
    admission.give_back(places[4])
    assert len(admission._owners()) == 3
    admission.give_back(places[1])
    assert taken(admission, "a", "X").slot == 1
    assert taken(admission, "a", "X").slot == 3


def test_what_is_given_back_leaves_no_mark(admission: Admission) -> None:
    places = [taken(admission, f"10.0.0.{n}", f"AE{n}") for n in range(50)]
    for place in places:
        admission.give_back(place)
    assert not any(admission._memory[module._OWNERS_AT :])
    assert admission.taken() == 0


@pytest.mark.parametrize("title", ["", "\ud800", "x" * 300, "\0", "' OR 1=1"])
def test_any_title_can_be_counted(admission: Admission, title: str) -> None:
    limits = Limits(associations=9, per_ae=1)
    taken(admission, "a", title, limits)
    assert admission.take("a", title, limits) == Reached("limits.per_ae")
    taken(admission, "a", "other", limits)


def test_counts_hold_under_threads(admission: Admission) -> None:
    done, limits = list[bool](), Limits(associations=10, per_ae=10)

    def come_and_go() -> None:
        for _ in range(500):
            place = admission.take("a", "X", limits)
            if isinstance(place, Place):
                done.append(True)
                admission.give_back(place)

    threads = [threading.Thread(target=come_and_go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4000
    assert admission.taken() == 0


# Several processes

PROGRAM = """
import sys
from pacsnode.dimse.admission import Admission, Limits, Place
admission, limits = Admission(int(sys.argv[1])), Limits(associations=int(sys.argv[2]))
{body}
print("done", flush=True)
sys.stdin.read()
"""
HOLD = "held = [admission.take('a', 'X', limits) for _ in range(int(sys.argv[3]))]"
COME_AND_GO = """
for _ in range(int(sys.argv[3])):
    place = admission.take('a', 'X', limits)
    if isinstance(place, Place):
        admission.give_back(place)
"""


class Process:
    """A process that uses the memory, says that it is done, and waits for its end."""

    def __init__(self, body: str, descriptor: int, associations: int, count: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(body=body), *map(str, (descriptor, associations, count))],
            pass_fds=(descriptor,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def done(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"done\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture
def shared(descriptor: int) -> Iterator[Admission]:
    admission = Admission(descriptor)
    yield admission
    admission.close()


def test_limits_hold_over_processes_and_the_dead_give_back(descriptor: int, shared: Admission) -> None:
    own = taken(shared, "a", "X")
    with Process(HOLD, descriptor, 10, 4) as one, Process(HOLD, descriptor, 10, 3) as two:
        one.done()
        two.done()
        assert shared.taken() == 8
        assert shared.take("a", "Y", Limits(9, per_ip=8)) == Reached("limits.per_ip")
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(60)
        assert shared.taken() == 8, "nobody notices by himself"
        assert shared.forget_process(one.process.pid)
        assert shared.taken() == 4
        assert shared.forget_process(one.process.pid)
        assert shared.forget_process(999_999_999)
        assert shared.taken() == 4
    shared.forget_process(two.process.pid)
    shared.give_back(own)
    assert not any(shared._memory[module._OWNERS_AT :])


HOLD_THE_LOCK = """
with admission._locked():
    print("done", flush=True)
    sys.stdin.read()
"""


def taking(admission: Admission) -> threading.Thread:
    thread = threading.Thread(target=lambda: admission.take("a", "X", MANY))
    thread.start()
    thread.join(0.2)
    return thread


def test_one_process_at_a_time(descriptor: int, shared: Admission) -> None:
    with Process(HOLD_THE_LOCK, descriptor, 10, 0) as process:
        process.done()
        thread = taking(shared)
        assert thread.is_alive()
        process.process.kill()
        thread.join(20)
        assert not thread.is_alive()
    assert shared.taken() == 1


def test_one_thread_at_a_time(admission: Admission) -> None:
    with admission._locked():
        thread = taking(admission)
        assert thread.is_alive()
    thread.join(20)
    assert admission.taken() == 1


def test_counts_hold_under_processes(descriptor: int, shared: Admission) -> None:
    with Process(COME_AND_GO, descriptor, 3, 3000) as one, Process(COME_AND_GO, descriptor, 3, 3000) as two:
        one.done()
        two.done()
    assert shared.taken() == 0


def test_a_process_that_dies_with_the_lock_leaves_it_free_and_its_place_known(
    descriptor: int, shared: Admission
) -> None:
    dying = """
import os
admission._write_marks = lambda *_: os.kill(os.getpid(), 9)
admission.take('a', 'X', limits)
"""
    with Process(dying, descriptor, 10, 0) as process:
        process.process.wait(60)
        assert shared.taken() == 1
        shared.forget_process(process.process.pid)
    assert shared.taken() == 0


def test_numbers_of_processes_that_died_unnoticed_are_used_again(
    shared: Admission, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in range(1, module.MAX_PROCESSES + 1):
        shared._pid = 0
        monkeypatch.setattr("os.getpid", lambda pid=pid: 1_000_000_000 + pid)
        taken(shared, "a", "X")
    assert shared.taken() == module.MAX_PROCESSES
    monkeypatch.setattr("os.getpid", lambda: 1_000_000_000)
    taken(shared, "a", "X")
    assert shared.taken() == module.MAX_PROCESSES, "one was given back"
    assert shared._number == 1


def test_it_imports_nothing_heavy() -> None:
    program = "import sys, pacsnode.dimse.admission; print(*sorted(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"pynetdicom", "pydicom", "sqlite3", "pydantic", "google"} & set(ran.stdout.split())
