"""What the processes of a node tell each other of the lease, and a storage that is written to only under it."""

import json
from pathlib import Path

import google_crc32c
import pytest

from pacsnode.errors import StorageAway, StorageRefused
from pacsnode.storage.base import ObjectFacts
from pacsnode.storage.lease import Leased, LeaseFile, boot_id, boot_time
from pacsnode.storage.leased import LeasedStorage
from pacsnode.storage.memory import BytesReadable, MemoryStorage
from tests.lease_place import Clocked

NAME = "1.2/1.3/1.4.dcm"


def of_boot(path: Path, boot: str, clock: Clocked) -> LeaseFile:
    return LeaseFile(path / "lease.json", now=clock, boot=lambda: boot)


def test_what_one_process_tells_another_reads(tmp_path: Path) -> None:
    clock = Clocked()
    file, other = of_boot(tmp_path, "a", clock), of_boot(tmp_path, "a", clock)
    for leased in (Leased(5.0), Leased(0.0, "why", is_others=True), Leased(1.0, "é", is_lost=True)):
        file.write(leased)
        assert other.read() == leased
    file.remove()
    file.remove()
    assert other.read() is None
    assert list(tmp_path.iterdir()) == []


def test_one_may_write_until_the_time_is_over(tmp_path: Path) -> None:
    clock = Clocked()
    file = of_boot(tmp_path, "a", clock)
    with pytest.raises(StorageAway, match="not taken yet"):
        file.check()
    file.write(Leased(clock.seconds + 10))
    file.check()
    clock.seconds += 9.9
    file.check()
    clock.seconds += 0.1
    with pytest.raises(StorageAway, match="not renewed in time"):
        file.check()
    file.write(Leased(clock.seconds, "the bucket is away"))
    with pytest.raises(StorageAway, match="the bucket is away"):
        file.check()
    file.write(Leased(clock.seconds + 10, "written by another", is_others=True))
    with pytest.raises(StorageRefused, match="written by another"):
        file.check()


def test_a_file_from_before_a_reboot_counts_for_nothing(tmp_path: Path) -> None:
    clock = Clocked()
    of_boot(tmp_path, "before", clock).write(Leased(clock.seconds + 1e6))
    assert of_boot(tmp_path, "after", clock).read() is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '{"boot": "a"}', '{"boot": "a", "until": 1, "more": 2}']
)
def test_a_file_that_cannot_be_read_counts_for_nothing(tmp_path: Path, text: str) -> None:
    file = of_boot(tmp_path, "a", Clocked())
    file.path.write_text(text)
    assert file.read() is None


def test_the_machine_tells_its_boot_and_its_time() -> None:
    assert boot_id() == boot_id() != ""
    assert boot_time() <= boot_time()


def test_without_the_lease_a_storage_is_read_and_not_written(tmp_path: Path) -> None:
    clock = Clocked()
    file, inner = of_boot(tmp_path, "a", clock), MemoryStorage()
    storage = LeasedStorage(inner, file.check)
    facts = ObjectFacts(google_crc32c.value(b"data"))
    with pytest.raises(StorageAway):
        storage.put(NAME, BytesReadable(b"data"), facts)
    assert list(inner.list()) == []
    file.write(Leased(clock.seconds + 10))
    storage.put(NAME, BytesReadable(b"data"), facts)
    storage.sync()
    clock.seconds += 10
    with pytest.raises(StorageAway):
        storage.delete(NAME)
    assert [info.name for info in storage.list()] == [NAME]
    assert storage.open(NAME).length == 4
    clock.seconds -= 1
    storage.delete(NAME)
    assert list(storage.list()) == []
    storage.close()


def test_the_file_is_for_people_too(tmp_path: Path) -> None:
    file = of_boot(tmp_path, "a", Clocked())
    file.write(Leased(1.0, "why"))
    told = json.loads(file.path.read_text())
    assert (told["boot"], told["trouble"]) == ("a", "why")
    assert file.path.stat().st_mode & 0o777 == 0o600
