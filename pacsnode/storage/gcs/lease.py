"""The lease in a bucket: an object whose metadata say who writes below the prefix.

Who takes it first creates the object (`ifGenerationMatch=0`). From then on only its metadata change, on condition that
they are those that were read (`ifMetagenerationMatch`): so no versions pile up where the bucket keeps them, and it
works under a retention policy, which forbids to replace an object and lets its metadata be edited. Its time is the
bucket's: `updated` of the object against the `Date` of the answer that tells it.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import google_crc32c

from pacsnode.errors import ObjectNotFound, StorageAway
from pacsnode.storage.base import ObjectFacts
from pacsnode.storage.gcs.answers import document, error_of
from pacsnode.storage.gcs.transport import Answer, Transport
from pacsnode.storage.gcs.upload import BucketOptions, Document, TakenName, Upload, Uploads
from pacsnode.storage.lease import Holding, LeaseChanged, Reading
from pacsnode.storage.memory import BytesReadable
from pacsnode.storage.names import LEASE_NAME

_CONTENT = (
    b'{"about": "the lease of the pacsnode that writes here; the metadata of this object say which one"}\n'
)
_FIELDS = "generation,metageneration,updated,metadata"


class BucketLease:
    """The place of the lease. Any thread may call any method."""

    def __init__(self, options: BucketOptions, *, timeout_seconds: float) -> None:
        """Nothing is asked of the bucket yet."""
        # What is written three times a minute is no object for a class with dear operations.
        self._options = replace(options, storage_class="STANDARD")
        self._full_name = f"{options.prefix}/{LEASE_NAME}" if options.prefix else LEASE_NAME
        self._doing = f"object {self._full_name}"
        self._transport = Transport(connections=1, timeout_seconds=timeout_seconds)
        self._uploads = Uploads(self._transport, self._options)

    def read(self) -> Reading:
        """Look who holds it."""
        query = {"fields": _FIELDS, **self._options.common_query}
        answer = self._transport.ask(
            "GET", self._options.object_path(self._full_name), self._doing, query=query
        )
        if answer.status == 200:
            return Reading(self._now(answer), self._holding(answer))
        error = error_of(answer, self._doing, needs="storage.objects.get")
        if isinstance(error, ObjectNotFound):
            return Reading(self._now(answer), None)
        raise error

    def write(self, fields: Mapping[str, str], *, over: Holding | None) -> Holding:
        """Write it in place of what was read."""
        return self._created(fields) if over is None else self._changed(fields, over)

    def _created(self, fields: Mapping[str, str]) -> Holding:
        facts = ObjectFacts(google_crc32c.value(_CONTENT), fields)
        try:
            self._uploads.create(Upload(self._full_name, BytesReadable(_CONTENT), facts))
        except TakenName:
            raise LeaseChanged(f"{self._doing} was made meanwhile") from None
        holding = self.read().holding
        if holding is None or dict(holding.fields) != dict(fields):
            raise LeaseChanged(f"{self._doing} was changed meanwhile")
        return holding

    def _changed(self, fields: Mapping[str, str], over: Holding) -> Holding:
        generation, metageneration = over.version.split("/")
        query = {
            "ifGenerationMatch": generation,
            "ifMetagenerationMatch": metageneration,
            "fields": _FIELDS,
            **self._options.common_query,
        }
        answer = self._transport.ask(
            "PATCH",
            self._options.object_path(self._full_name),
            self._doing,
            query=query,
            headers={"content-type": "application/json; charset=UTF-8"},
            body=Document(json.dumps({"metadata": dict(fields)}).encode()),
        )
        if answer.status == 412:
            raise LeaseChanged(f"{self._doing} was changed meanwhile")
        if answer.status != 200:
            error = error_of(answer, self._doing, needs="storage.objects.update")
            if isinstance(error, ObjectNotFound):
                raise LeaseChanged(f"{self._doing} was removed meanwhile")
            raise error
        return self._holding(answer)

    def _holding(self, answer: Answer) -> Holding:
        found: dict[str, Any] = document(answer)
        generation, metageneration = found.get("generation"), found.get("metageneration")
        try:
            written = datetime.fromisoformat(str(found.get("updated")))
        except ValueError:
            written = None
        if not generation or not metageneration or written is None or written.tzinfo is None:
            raise StorageAway(f"{self._doing}: what the bucket says about it cannot be read")
        fields = {str(key): str(value) for key, value in (found.get("metadata") or {}).items()}
        age_seconds = (self._now(answer) - written).total_seconds()
        return Holding(f"{generation}/{metageneration}", fields, max(0.0, age_seconds))

    def _now(self, answer: Answer) -> datetime:
        try:
            return parsedate_to_datetime(answer.headers.get("date", "")).astimezone(UTC)
        except ValueError:
            raise StorageAway(f"{self._doing}: the bucket does not say what time it is") from None

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()
