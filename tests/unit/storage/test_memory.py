"""Objects in memory: what the contract suite does not say."""

from pacsnode.storage.memory import BytesReadable, MemoryStorage


def test_an_object_does_not_change_with_its_source() -> None:
    storage, data = MemoryStorage(), bytearray(b"before")
    storage.put("a", BytesReadable(bytes(data)))
    data[:] = b"after!"
    buffer = bytearray(6)
    storage.open("a").read_into(memoryview(buffer), 0)
    assert buffer == b"before"
