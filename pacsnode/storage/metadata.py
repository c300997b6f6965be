"""What stands beside each object of a bucket, so that a listing alone tells much.

The names are part of the archive's format: they are read by later releases, and by people in a bucket's console.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

CALLING_AE_TITLE = "pacsnode-calling-ae-title"
RECEIVED = "pacsnode-received"  # ISO 8601, UTC, milliseconds
DATA_SET_CRC32C = "pacsnode-data-set-crc32c"  # of the data set alone, 8 hexadecimal digits
FILE_CRC32C = "pacsnode-file-crc32c"  # of the whole Part 10 file, 8 hexadecimal digits
NODE = "pacsnode-node"  # node.name


def metadata_of(
    *, calling_ae_title: str, received_at_ms: int, data_set_crc32c: int, file_crc32c: int, node: str
) -> dict[str, str]:
    """Return the metadata of an instance's object; `received_at_ms` in milliseconds since 1970."""
    received = datetime.fromtimestamp(received_at_ms // 1000, UTC).replace(tzinfo=None)
    return {
        CALLING_AE_TITLE: calling_ae_title,
        RECEIVED: f"{received.isoformat()}.{received_at_ms % 1000:03d}Z",
        DATA_SET_CRC32C: f"{data_set_crc32c:08x}",
        FILE_CRC32C: f"{file_crc32c:08x}",
        NODE: node,
    }


def received_at_ms_of(metadata: Mapping[str, str]) -> int | None:
    """Return when an object's instance was received, in milliseconds since 1970; None if it does not say."""
    try:
        received = datetime.fromisoformat(metadata.get(RECEIVED, ""))
    except ValueError:
        return None
    if received.tzinfo is None:
        return None
    return round(received.timestamp() * 1000)
