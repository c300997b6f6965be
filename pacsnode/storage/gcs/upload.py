"""Objects on their way into the bucket: one request up to 8 MiB, a resumable upload above.

Both are streamed from their source in small pieces, so that memory is bounded whatever the length, and both make the
bucket compare the bytes with the CRC32C that was computed when they were received. `ifGenerationMatch=0` makes each a
creation. What the bucket says that it has stored is compared with what it was sent.

A resumable upload that fails is remembered while the process lives, and the next `put` of the same bytes under the
same name goes on where the bucket says that it ended.
"""

import json
import logging
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from pacsnode.errors import DamagedObject, PacsNodeError, StorageAway
from pacsnode.storage.base import ObjectFacts, Readable
from pacsnode.storage.gcs.answers import (
    bucket_missing,
    document,
    encoded_crc32c,
    error_of,
    is_damage,
    whole_number,
)
from pacsnode.storage.gcs.transport import Answer, Transport
from pacsnode.storage.reading import chunks_of, crc32c_of

log = logging.getLogger(__name__)

ONE_REQUEST_BYTES = 8 << 20
_PART_BYTES = 16 << 20  # of a resumable upload; a multiple of 256 KiB
_PIECE_BYTES = 256 << 10
_MAX_SESSIONS = 64
_CREATED = (200, 201)
_INCOMPLETE = 308
_FORGOTTEN = (404, 410)
_LATER = (408, 429)  # and 5xx: an upload goes on where it was
_NEEDS = "storage.objects.create"
_RANGE = re.compile(r"bytes=0-([0-9]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class BucketOptions:
    """The bucket, and how objects are made in it; empty text leaves a choice to the bucket."""

    bucket: str
    prefix: str = ""
    storage_class: str = ""
    kms_key: str = ""
    user_project: str = ""

    @property
    def common_query(self) -> dict[str, str]:
        """What each request says: who pays."""
        return {"userProject": self.user_project} if self.user_project else {}

    @property
    def bucket_path(self) -> str:
        """The path of the bucket, below that of the API's kind of request."""
        return f"/storage/v1/b/{quote(self.bucket, safe='')}"

    @property
    def objects_path(self) -> str:
        """The path of its objects."""
        return f"{self.bucket_path}/o"

    def object_path(self, full_name: str) -> str:
        """Return the path of one object."""
        return f"{self.objects_path}/{quote(full_name, safe='')}"


@dataclass(frozen=True, slots=True)
class Upload:
    """One object that is to be made. `full_name` has the prefix."""

    full_name: str
    source: Readable
    facts: ObjectFacts

    @property
    def doing(self) -> str:
        """How messages begin."""
        return f"object {self.full_name}"


class TakenName(PacsNodeError):
    """There is an object of that name already; never leaves this package."""


class _BeginsAgain(StorageAway):
    """What the bucket has of a resumable upload is of no use any more."""


class Uploads:
    """Makes objects. Any thread may call any method."""

    def __init__(self, transport: Transport, options: BucketOptions) -> None:
        self._transport = transport
        self._options = options
        self._sessions = OrderedDict[tuple[str, int, int], str]()
        self._lock = threading.Lock()

    def create(self, upload: Upload) -> None:
        """Create an object; raises `TakenName`, `DamagedObject`, `StorageAway`, `StorageRefused`."""
        send = self._in_one_request if upload.source.length <= ONE_REQUEST_BYTES else self._resumably
        self._check_stored(upload, send(upload))

    def _in_one_request(self, upload: Upload) -> Answer:
        body = _Multipart(upload, self._document(upload))
        answer = self._transport.ask(
            "POST",
            f"/upload{self._options.objects_path}",
            upload.doing,
            query=self._query(upload, "multipart"),
            headers={"content-type": f"multipart/related; boundary={body.boundary}"},
            body=body,
        )
        return self._created(upload, answer)

    def _resumably(self, upload: Upload) -> Answer:
        key = (upload.full_name, upload.source.length, upload.facts.crc32c)
        with self._lock:
            session = self._sessions.pop(key, "")
        try:
            answer = self._asked(upload, session) if session else None
            if answer is None:
                session = self._begin(upload)
            return self._send_parts(upload, session, answer)
        except _BeginsAgain:
            raise
        except StorageAway:
            self._remember(key, session)
            raise

    def _remember(self, key: tuple[str, int, int], session: str) -> None:
        with self._lock:
            if session:
                self._sessions[key] = session
            while len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)

    def _begin(self, upload: Upload) -> str:
        answer = self._transport.ask(
            "POST",
            f"/upload{self._options.objects_path}",
            upload.doing,
            query=self._query(upload, "resumable"),
            headers={
                "content-type": "application/json; charset=UTF-8",
                "x-upload-content-type": _content_type(upload),
                "x-upload-content-length": str(upload.source.length),
            },
            body=Document(self._document(upload)),
        )
        session = self._created(upload, answer).headers.get("location", "")
        if not session:
            raise StorageAway(f"{upload.doing}: the bucket began an upload and did not say where")
        return session

    def _asked(self, upload: Upload, session: str) -> Answer | None:
        """Ask an upload how far it is; None if the bucket does not know it any more."""
        answer = self._put(upload, session, f"bytes */{upload.source.length}", None)
        return None if answer.status in _FORGOTTEN else answer

    def _send_parts(self, upload: Upload, session: str, answer: Answer | None) -> Answer:
        length, sent = upload.source.length, _received(answer) if answer is not None else 0
        while answer is None or (answer.status == _INCOMPLETE and sent < length):
            end = min(sent + _PART_BYTES, length)
            part = _Part(upload.source, sent, end - sent)
            answer = self._put(upload, session, f"bytes {sent}-{end - 1}/{length}", part)
            if answer.status == _INCOMPLETE:
                received = _received(answer)
                if not sent < received < length:
                    raise _BeginsAgain(
                        f"{upload.doing}: the bucket has {received} bytes after {end} were sent"
                    )
                sent = received
        if answer.status in _FORGOTTEN:
            raise _BeginsAgain(f"{upload.doing}: the bucket does not know the upload any more")
        try:
            return self._created(upload, answer)
        except StorageAway as error:
            if answer.status >= 500 or answer.status in _LATER:
                raise
            raise _BeginsAgain(str(error)) from error

    def _put(self, upload: Upload, session: str, content_range: str, part: "_Part | None") -> Answer:
        return self._transport.ask(
            "PUT",
            session,
            upload.doing,
            headers={"content-range": content_range},
            body=part or Document(b""),
        )

    def _query(self, upload: Upload, upload_type: str) -> dict[str, str]:
        kms_key = {"kmsKeyName": self._options.kms_key} if self._options.kms_key else {}
        return {
            "uploadType": upload_type,
            "name": upload.full_name,
            "ifGenerationMatch": "0",
            "fields": "name,size,crc32c,generation,metadata",
            **kms_key,
            **self._options.common_query,
        }

    def _document(self, upload: Upload) -> bytes:
        described: dict[str, object] = {
            "contentType": _content_type(upload),
            "crc32c": encoded_crc32c(upload.facts.crc32c),
        }
        if upload.facts.metadata:
            described["metadata"] = dict(upload.facts.metadata)
        if self._options.storage_class:
            described["storageClass"] = self._options.storage_class
        return json.dumps(described).encode()

    def _created(self, upload: Upload, answer: Answer) -> Answer:
        """Return an answer that says so, or raise what it says instead."""
        if answer.status in _CREATED:
            return answer
        if answer.status == 412:
            raise TakenName(upload.full_name)
        if is_damage(answer):
            raise _damage(upload)
        if answer.status == 404:
            raise bucket_missing(upload.doing)
        raise error_of(answer, upload.doing, needs=_NEEDS)

    def _check_stored(self, upload: Upload, answer: Answer) -> None:
        """Compare what is stored with what was sent; take back what is not, so that it is put again."""
        stored = document(answer)
        if (
            stored.get("name") == upload.full_name
            and whole_number(stored.get("size")) == upload.source.length
            and stored.get("crc32c") == encoded_crc32c(upload.facts.crc32c)
        ):
            if (stored.get("metadata") or {}) != dict(upload.facts.metadata):
                log.warning("%s: the bucket keeps other metadata than was sent", upload.doing)
            return
        generation = whole_number(stored.get("generation"))
        if generation is not None:
            query = {"ifGenerationMatch": str(generation), **self._options.common_query}
            self._transport.ask(
                "DELETE", self._options.object_path(upload.full_name), upload.doing, query=query
            )
        raise _damage(upload)


class _Multipart:
    """The document about an object and its bytes, in one body (multipart/related)."""

    def __init__(self, upload: Upload, described: bytes) -> None:
        self.boundary = secrets.token_hex(16)
        self._source = upload.source
        self._head = (
            f"--{self.boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n".encode()
            + described
            + f"\r\n--{self.boundary}\r\ncontent-type: {_content_type(upload)}\r\n\r\n".encode()
        )
        self._tail = f"\r\n--{self.boundary}--\r\n".encode()
        self.length = len(self._head) + upload.source.length + len(self._tail)

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes; what is short goes out at once."""
        if self.length <= _PIECE_BYTES:
            yield b"".join((self._head, *chunks_of(self._source), self._tail))
            return
        yield self._head
        yield from chunks_of(self._source, 0, _PIECE_BYTES)
        yield self._tail


class _Part:
    """A part of a source."""

    def __init__(self, source: Readable, offset: int, length: int) -> None:
        self._source = source
        self._offset = offset
        self.length = length

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes."""
        left = self.length
        for chunk in chunks_of(self._source, self._offset, _PIECE_BYTES):
            yield chunk[:left]
            left -= min(left, len(chunk))
            if not left:
                return


class Document:
    """A body that is there already."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def pieces(self) -> Iterator[bytes]:
        """Yield it."""
        if self._content:
            yield self._content


def _damage(upload: Upload) -> PacsNodeError:
    """Return the error of bytes that arrived as others: the source's fault, or the way's."""
    if crc32c_of(upload.source) != upload.facts.crc32c:
        return DamagedObject(f"{upload.doing}: its source's bytes are not those that were received")
    return _BeginsAgain(f"{upload.doing}: it was damaged on the way and is not stored")


def _content_type(upload: Upload) -> str:
    """PS3.10 8.5: the media type of a Part 10 file."""
    return "application/dicom" if upload.full_name.endswith(".dcm") else "application/octet-stream"


def _received(answer: Answer) -> int:
    """Return how many bytes of a resumable upload the bucket has kept; without a range it is none."""
    match = _RANGE.fullmatch(answer.headers.get("range", ""))
    return int(match[1]) + 1 if match else 0
