"""Where an instance's bytes lie, and that damaged ones are never given out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pacsnode.archive.objects import Objects, entry_of, name_of, wanted_of
from pacsnode.errors import DamagedObject, ObjectNotFound
from pacsnode.storage.base import Readable
from pacsnode.storage.cache import Cache
from pacsnode.storage.memory import BytesReadable
from pacsnode.storage.reading import chunks_of
from tests.factories import Parts, Sample, located, spooled
from tests.objects import put

SAMPLE = Sample()


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with Parts(tmp_path) as parts:
        yield parts


def content(readable: Readable) -> bytes:
    try:
        return b"".join(chunks_of(readable))
    finally:
        readable.close()


def test_an_instance_in_the_spool_is_read_there(parts: Parts) -> None:
    entry = spooled(parts.spool, SAMPLE.file)
    place = located(SAMPLE, entry.token)
    assert entry_of(place) == entry
    assert content(parts.objects.open_checked(place)) == SAMPLE.file


def test_an_instance_that_was_filed_since_is_read_in_the_storage(parts: Parts) -> None:
    entry = spooled(parts.spool, SAMPLE.file)
    place = located(SAMPLE, entry.token)
    put(parts.storage, name_of(place), BytesReadable(SAMPLE.file))
    parts.spool.remove(entry)
    assert content(parts.objects.open_checked(place)) == SAMPLE.file


def test_a_stored_instance_is_read_in_the_storage(parts: Parts) -> None:
    place = located(SAMPLE, None)
    assert entry_of(place) is None
    put(parts.storage, name_of(place), BytesReadable(SAMPLE.file))
    assert content(parts.objects.open_checked(place)) == SAMPLE.file


def test_an_instance_that_is_nowhere_is_not_found(parts: Parts) -> None:
    for token in (None, 5):
        with pytest.raises(ObjectNotFound):
            parts.objects.open(located(SAMPLE, token))


def test_versions_have_names_of_their_own() -> None:
    assert name_of(located(SAMPLE, None)) == f"{SAMPLE.study}/{SAMPLE.series}/{SAMPLE.uid}.dcm"
    assert name_of(located(SAMPLE, None, version=2)).endswith("~2.dcm")


class Watched(BytesReadable):
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    "damaged",
    [
        SAMPLE.file[:-1],
        SAMPLE.file + b"\0",
        b"",
        SAMPLE.file[:-1] + bytes([SAMPLE.file[-1] ^ 1]),
        b"\1" + SAMPLE.file[1:],
    ],
)
def test_damaged_bytes_are_never_given_out(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, damaged: bytes
) -> None:
    readable = Watched(damaged)
    monkeypatch.setattr(parts.storage, "open", lambda name: readable)
    with pytest.raises(DamagedObject, match=SAMPLE.uid):
        parts.objects.open_checked(located(SAMPLE, None))
    assert readable.is_closed


def test_the_length_alone_is_not_believed(parts: Parts) -> None:
    place = located(SAMPLE, None)
    put(parts.storage, name_of(place), BytesReadable(SAMPLE.file))
    with pytest.raises(DamagedObject):
        parts.objects.open_checked(replace(place, file_crc32c=place.file_crc32c ^ 1))


# Far away


def test_what_is_far_is_fetched_once_and_anew_if_it_is_damaged_nearby(parts: Parts, tmp_path: Path) -> None:
    cache, place = Cache(tmp_path / "cache", max_bytes=1 << 20), located(SAMPLE, None)
    put(parts.storage, name_of(place), BytesReadable(SAMPLE.file))
    objects = Objects(parts.spool, parts.storage, cache)
    assert (objects.are_far, parts.objects.are_far) == (True, False)
    objects.fetch(place)
    nearby = tmp_path / "cache" / wanted_of(place).file_name
    assert nearby.read_bytes() == SAMPLE.file
    nearby.write_bytes(SAMPLE.file[:-1] + b"!")
    assert content(objects.open_checked(place)) == SAMPLE.file
    assert nearby.read_bytes() == SAMPLE.file
    assert not parts.objects.distrust(place)
    cache.close()


def test_what_is_in_the_spool_is_not_fetched(parts: Parts, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", max_bytes=1 << 20)
    entry = spooled(parts.spool, SAMPLE.file)
    objects = Objects(parts.spool, parts.storage, cache)
    objects.fetch(located(SAMPLE, entry.token))
    assert content(objects.open(located(SAMPLE, entry.token))) == SAMPLE.file
    assert cache.use()["files"] == 0
    cache.close()
