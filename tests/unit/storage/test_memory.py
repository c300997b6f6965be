"""Objects in memory: what the contract suite does not say."""

from pacsnode.storage.memory import BytesReadable, MemoryStorage
from tests.objects import put


def test_an_object_does_not_change_with_its_source() -> None:
    storage, data = MemoryStorage(), bytearray(b"before")
    put(storage, "a", BytesReadable(bytes(data)))
    data[:] = b"after!"
    buffer = bytearray(6)
    storage.open("a").read_into(memoryview(buffer), 0)
    assert buffer == b"before"
