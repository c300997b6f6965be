"""The storage port over a bucket of Google Cloud Storage.

A `put` that has returned is durable: the bucket has the bytes, in more than one place, and has compared their
CRC32C; `sync` has nothing left to do. Nothing is tried again here (`storage.retry` does).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pacsnode.errors import ObjectExists, ObjectNotFound, PacsNodeError, StorageAway, StorageRefused
from pacsnode.storage.base import ObjectFacts, ObjectInfo, Readable
from pacsnode.storage.gcs.answers import (
    ROLE,
    bucket_missing,
    decoded_crc32c,
    document,
    error_of,
    whole_number,
)
from pacsnode.storage.gcs.download import Downloads
from pacsnode.storage.gcs.transport import Transport
from pacsnode.storage.gcs.upload import BucketOptions, TakenName, Upload, Uploads

_PAGE = 1000
_FIELDS = "name,size,crc32c,metadata"
_PERMISSIONS = ("create", "get", "list", "delete", "update")


class BucketStorage:
    """Objects of a bucket, below a prefix. One for a process; any thread may call any method."""

    def __init__(
        self, options: BucketOptions, *, connections: int = 16, timeout_seconds: float = 60.0
    ) -> None:
        """Nothing is asked of the bucket yet: `check` does. `connections` is how many threads there are."""
        self._options = options
        self._prefix = f"{options.prefix}/" if options.prefix else ""
        self._transport = Transport(connections=connections, timeout_seconds=timeout_seconds)
        self._uploads = Uploads(self._transport, options)
        self._downloads = Downloads(self._transport, options)

    def check(self) -> None:
        """Ask whether the bucket is there and all of it allowed that a node does.

        Raises `StorageRefused` with what is missing, `StorageAway` if it does not answer.
        """
        doing = f"bucket {self._options.bucket}"
        path = f"{self._options.bucket_path}/iam/testPermissions"
        wanted = [f"storage.objects.{one}" for one in _PERMISSIONS]
        answer = self._transport.ask(
            "GET", path, doing, query={"permissions": wanted, **self._options.common_query}
        )
        if answer.status == 404:
            raise bucket_missing(doing)
        if answer.status != 200:
            raise error_of(answer, doing, needs="storage.buckets.get")
        missing = [one for one in wanted if one not in document(answer).get("permissions", [])]
        if missing:
            raise StorageRefused(
                f"{doing}: {', '.join(missing)} missing: grant {ROLE} on the bucket to the service account"
            )

    def put(self, name: str, source: Readable, facts: ObjectFacts) -> None:
        """Create an object as the port says."""
        upload = Upload(self._prefix + name, source, facts)
        try:
            self._uploads.create(upload)
        except TakenName:
            self._resolve(upload)

    def _resolve(self, upload: Upload) -> None:
        """Find out who has taken a name; what speaks against us is asked twice, before it stops anything."""
        for _ in range(2):
            info = self._info(upload.full_name)
            if info.length == upload.source.length and info.crc32c == upload.facts.crc32c:
                return
        raise ObjectExists(f"{upload.doing} exists already with other bytes")

    def _info(self, full_name: str) -> ObjectInfo:
        doing = f"object {full_name}"
        query = {"fields": _FIELDS, **self._options.common_query}
        answer = self._transport.ask("GET", self._options.object_path(full_name), doing, query=query)
        if answer.status == 404:
            raise StorageAway(f"{doing} was there and went while it was compared")
        if answer.status != 200:
            raise error_of(answer, doing, needs="storage.objects.get")
        return self._read(document(answer), doing)

    def open(self, name: str) -> Readable:
        """Open an object as the port says."""
        return self._downloads.open(self._prefix + name)

    def list(self) -> Iterator[ObjectInfo]:
        """Yield all objects below the prefix, in pages of a thousand."""
        token = ""
        while True:
            found, token = self.page(token)
            yield from found
            if not token:
                return

    def page(self, token: str) -> tuple[Sequence[ObjectInfo], str]:
        """Return some objects and the token of the next page; both begin and end with empty text."""
        doing = f"bucket {self._options.bucket}"
        query = {
            "prefix": self._prefix,
            "maxResults": str(_PAGE),
            "fields": f"items({_FIELDS}),nextPageToken",
            **({"pageToken": token} if token else {}),
            **self._options.common_query,
        }
        answer = self._transport.ask("GET", self._options.objects_path, doing, query=query)
        if answer.status == 404:
            raise bucket_missing(doing)
        if answer.status != 200:
            raise error_of(answer, doing, needs="storage.objects.list")
        page = document(answer)
        if not page and answer.body.strip() != b"{}":
            raise StorageAway(f"{doing}: its listing cannot be read")
        found = [self._read(item, doing) for item in page.get("items", [])]
        return [info for info in found if info.name], str(page.get("nextPageToken") or "")

    def _read(self, item: dict[str, Any], doing: str) -> ObjectInfo:
        name, length = str(item.get("name", "")), whole_number(item.get("size"))
        if not name.startswith(self._prefix) or length is None:
            raise StorageAway(f"{doing}: what it says about an object cannot be read")
        metadata = {str(key): str(value) for key, value in (item.get("metadata") or {}).items()}
        return ObjectInfo(
            name.removeprefix(self._prefix), length, decoded_crc32c(item.get("crc32c")), metadata
        )

    def delete(self, name: str) -> None:
        """Remove an object if it is there."""
        doing = f"object {self._prefix}{name}"
        path = self._options.object_path(self._prefix + name)
        answer = self._transport.ask("DELETE", path, doing, query=self._options.common_query)
        if answer.status in (200, 204):
            return
        error: PacsNodeError = error_of(answer, doing, needs="storage.objects.delete")
        if not isinstance(error, ObjectNotFound):
            raise error

    def sync(self) -> None:
        """Do nothing: what was put is durable."""

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
