"""The lease of a bucket's prefix, for the node of a configuration."""

import os
import re
import secrets
import socket
from pathlib import Path

from pacsnode.config import Config
from pacsnode.config.storage import Bucket
from pacsnode.durable import DurableFolder
from pacsnode.errors import ObjectExists
from pacsnode.jobs.lease import Lease, Writer
from pacsnode.storage.lease import LeaseFile

LEASE_FILE = "lease.json"
IDENTITY_FILE = "identity"

_TIMEOUT_SECONDS = 5.0  # of one request; the lease lasts for several
_TOKEN_BYTES = 16
_IDENTITY = re.compile(r"[0-9a-f]{32}\n", re.ASCII)


def lease_file(config: Config) -> LeaseFile:
    """Return the file in which the processes of a node see whether they may write."""
    return LeaseFile(config.node.data_dir / LEASE_FILE)


def lease_of(config: Config, bucket: Bucket) -> Lease:
    """Return the lease, which nobody is asked for yet; raises `OutOfResources`."""
    # Here, as in `assembly.archive.bucket_storage`.
    from pacsnode.storage.gcs.lease import BucketLease
    from pacsnode.storage.gcs.upload import BucketOptions

    gcs = config.storage.gcs
    options = BucketOptions(
        bucket=bucket.name, prefix=bucket.prefix, kms_key=gcs.kms_key, user_project=gcs.user_project
    )
    return Lease(
        BucketLease(options, timeout_seconds=min(_TIMEOUT_SECONDS, gcs.timeout)),
        lease_file(config),
        Writer(
            node=config.node.name,
            host=socket.gethostname(),
            folder=identity_of(config.node.data_dir),
            run=secrets.token_hex(_TOKEN_BYTES),
        ),
        url=config.storage.url,
    )


def identity_of(data_dir: Path) -> str:
    """Return what no other data folder has, made once; raises `OutOfResources`."""
    path = data_dir / IDENTITY_FILE
    folder = DurableFolder(data_dir)
    try:
        if (found := _read(path)) is not None:
            return found
        folder.remove(IDENTITY_FILE)
        descriptor = folder.unnamed_file()
        try:
            os.write(descriptor, f"{secrets.token_hex(_TOKEN_BYTES)}\n".encode())
            folder.publish(descriptor, IDENTITY_FILE)
        except ObjectExists:
            pass  # by another process of ours, at the same moment
        finally:
            os.close(descriptor)
        return _read(path) or ""
    finally:
        folder.close()


def _read(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return text.strip() if _IDENTITY.fullmatch(text) else None
