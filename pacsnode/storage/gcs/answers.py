"""What the answers of Google Cloud Storage mean: which errors go away by themselves, and what to do about the others.

Sorted by status and reason, as the JSON API's "HTTP status and error codes" list them. What is not known counts as
temporary. Where only the text tells, the words are looked for that it has had for years, and without them the
message still has the text.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from pacsnode.errors import ObjectNotFound, PacsNodeError, PermanentError, StorageAway, StorageRefused
from pacsnode.storage.gcs.transport import Answer

ROLE = "roles/storage.objectUser"
_KMS_ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
_PROJECT_ROLE = "roles/serviceusage.serviceUsageConsumer"
_MAX_TEXT = 300

_BUSY = "Google Cloud Storage is busy or in trouble; it is tried again"
_QUOTA = "a quota or the bucket's rate is used up; it is tried again, and quotas can be raised in the console"

_TIME = "look at this machine's clock"
_PAYS = "the requester pays for this bucket: set storage.gcs.user_project to the project that is billed"

# What an administrator does, by the reason that the answer gives.
_REFUSALS = {
    "userProjectMissing": _PAYS,
    "userProjectInvalid": "storage.gcs.user_project is not a project that can be billed",
    "userProjectInconsistent": "storage.gcs.user_project is not a project that can be billed",
    "userProjectAccessDenied": f"grant {_PROJECT_ROLE} on the project of storage.gcs.user_project",
    "userProjectAccountProblem": "the project of storage.gcs.user_project has a problem with its billing account",
    "accountDisabled": "the billing account of the bucket's project is off: enable it",
    "accessNotConfigured": "enable the Cloud Storage JSON API in the project",
    "orgPolicyConstraintFailed": "a policy of the organisation forbids it: ask who administers it",
    "vpcServiceControls": "a perimeter of VPC Service Controls forbids it: ask who administers it",
    "countryBlocked": "Google Cloud Storage cannot be used from this country",
}
_OBJECT_REFUSALS = {
    "retentionPolicyNotMet": "the bucket's retention policy keeps it",
    "objectUnderActiveHold": "a hold keeps it",
}
_KMS_USE = "storage.gcs.kms_key has to be a key that is enabled, in the bucket's location, as "
_KMS_FORM = "projects/P/locations/L/keyRings/R/cryptoKeys/K"


def document(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of an answer, empty if it is none."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_damage(answer: Answer) -> bool:
    """Tell whether the bucket refused bytes because they are not those of the checksum."""
    return answer.status == 400 and "crc32c" in _text(answer).lower()


def error_of(answer: Answer, doing: str, *, needs: str) -> PacsNodeError:
    """Return the error of an answer. `needs` is the permission that the request takes."""
    reason, text = _reason(answer), _text(answer)
    said = f"{doing}: {answer.status} {text}".rstrip()
    if advice := _advice(answer.status, reason, text, needs):
        return StorageRefused(f"{said}; {advice}")
    if answer.status == 403 and reason in _OBJECT_REFUSALS:
        return PermanentError(f"{said}; {_OBJECT_REFUSALS[reason]}")
    if answer.status == 404:
        return _not_found(doing, text)
    waited_out = _QUOTA if answer.status == 429 or _is_quota(reason) else _BUSY
    return StorageAway(f"{said}; {waited_out}", retry_after_seconds=_retry_after(answer))


def _advice(status: int, reason: str, text: str, needs: str) -> str:
    """Return what an administrator has to do about the bucket, empty text if that is nothing."""
    if status in (400, 403) and (advice := _kms_advice(reason, text) or _REFUSALS.get(reason)):
        return advice
    match status:
        case 400 if "requester pays" in text.lower():
            return _PAYS
        case 400 if "storage class" in text.lower():
            return "storage.gcs.storage_class is not one of this bucket's location"
        case 401:
            return f"the credentials are not accepted: use a service account with {ROLE} on the bucket, and {_TIME}"
        case 403 if "scope" in text.lower():
            return "the access scopes of this machine leave storage out: give it cloud-platform"
        case 403 if reason not in _OBJECT_REFUSALS and not _is_quota(reason):
            return f"{needs} is missing: grant {ROLE} on the bucket to the service account"
        case _:
            return ""


def _is_quota(reason: str) -> bool:
    return "ratelimit" in reason.lower() or "quota" in reason.lower()


def _not_found(doing: str, text: str) -> PacsNodeError:
    if "bucket does not exist" in text.lower():
        return bucket_missing(doing)
    return ObjectNotFound(f"{doing} is not there")


def bucket_missing(doing: str) -> StorageRefused:
    """Return the error of a 404 that can mean nothing else."""
    return StorageRefused(f"{doing}: its bucket is not there; create the bucket, or correct storage.url")


def _kms_advice(reason: str, text: str) -> str:
    words = text.lower()
    if "permission denied on cloud kms key" in words or ("cloudkms" in words and "permission" in words):
        return f"grant {_KMS_ROLE} on the key to the bucket project's Cloud Storage service agent"
    if reason.lower().startswith("cloudkms") or "cloud kms" in words or "kms key" in words:
        return f"{_KMS_USE}{_KMS_FORM}"
    return ""


def _error(answer: Answer) -> Mapping[str, Any]:
    found = document(answer).get("error")
    return found if isinstance(found, dict) else {}


def _reason(answer: Answer) -> str:
    errors = _error(answer).get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    return str(first.get("reason", "")) if isinstance(first, dict) else ""


def _text(answer: Answer) -> str:
    """Return what the answer says of itself, in one line, without what could be a whole page of a proxy."""
    text = _error(answer).get("message") or answer.body[:_MAX_TEXT].decode("ascii", "replace")
    return " ".join(str(text).split())[:_MAX_TEXT].rstrip(".")


def _retry_after(answer: Answer) -> float | None:
    """Return what Retry-After asks for in seconds; the date that it may be too is not looked at: clocks differ."""
    try:
        return max(0.0, float(answer.headers.get("retry-after", "")))
    except ValueError:
        return None


def encoded_crc32c(crc32c: int) -> str:
    """Return a checksum as the API writes it: base64 of its bytes, the most significant first."""
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode("ascii")


def decoded_crc32c(text: object) -> int | None:
    """Return a checksum that the API wrote, None if it is none."""
    try:
        value = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        return None
    return int.from_bytes(value, "big") if len(value) == 4 else None


def stored_crc32c(headers: Mapping[str, str]) -> int | None:
    """Return the checksum of a whole object from the headers of its download, None if they have none."""
    for part in headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind == "crc32c":
            return decoded_crc32c(value)
    return None


def whole_number(text: object) -> int | None:
    """Return a number that the API writes as text, None if it is none."""
    try:
        return int(str(text))
    except ValueError:
        return None
