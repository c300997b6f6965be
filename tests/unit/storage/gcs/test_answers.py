"""What answers mean: which go away by themselves, and what is said to do about the others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.errors import (
    ObjectNotFound,
    PacsNodeError,
    PermanentError,
    StorageAway,
    StorageRefused,
    TemporaryError,
)
from pacsnode.storage.gcs.answers import (
    decoded_crc32c,
    document,
    encoded_crc32c,
    error_of,
    is_damage,
    stored_crc32c,
    whole_number,
)
from pacsnode.storage.gcs.transport import Answer

CREATE = "storage.objects.create"


def answer(status: int, reason: str = "", message: str = "", **headers: str) -> Answer:
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, given, json.dumps({"error": error}).encode())


def sorted_as(given: Answer) -> PacsNodeError:
    return error_of(given, "object a", needs=CREATE)


@pytest.mark.parametrize("status", [408, 410, 418, 429, 500, 502, 503, 504, 599, 300, 307])
def test_what_is_busy_or_unknown_is_tried_again(status: int) -> None:
    error = sorted_as(answer(status, "backendError", "Backend Error", retry_after="12"))
    assert isinstance(error, StorageAway)
    assert error.retry_after_seconds == 12.0
    assert str(error).startswith(f"object a: {status} Backend Error; ")


@pytest.mark.parametrize("said", ["", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_retry_after_that_is_no_number_is_none(said: str) -> None:
    error = sorted_as(answer(503, retry_after=said))
    assert isinstance(error, StorageAway)
    assert error.retry_after_seconds is None


@pytest.mark.parametrize("reason", ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"])
def test_quotas_are_tried_again_whatever_their_status(reason: str) -> None:
    for status in (403, 429):
        error = sorted_as(answer(status, reason, "Quota exceeded"))
        assert isinstance(error, StorageAway)
        assert "quota" in str(error)


KMS = "projects/p/locations/l/keyRings/r/cryptoKeys/k"


@pytest.mark.parametrize(
    ("status", "reason", "message", "advice"),
    [
        (
            401,
            "required",
            "Anonymous caller does not have storage.objects.create access",
            "the credentials are not accepted: use a service account with roles/storage.objectUser",
        ),
        (401, "authError", "Invalid Credentials", "look at this machine's clock"),
        (
            403,
            "forbidden",
            "x@y.iam.gserviceaccount.com does not have storage.objects.create access",
            "storage.objects.create is missing: grant roles/storage.objectUser on the bucket",
        ),
        (403, "insufficientPermissions", "Insufficient Permission", "grant roles/storage.objectUser"),
        (
            403,
            "insufficientPermissions",
            "Request had insufficient authentication scopes.",
            "the access scopes of this machine leave storage out",
        ),
        (
            404,
            "notFound",
            "The specified bucket does not exist.",
            "create the bucket, or correct storage.url",
        ),
        (
            400,
            "required",
            "Bucket is a requester pays bucket but no user project provided.",
            "set storage.gcs.user_project",
        ),
        (400, "userProjectMissing", "", "set storage.gcs.user_project"),
        (403, "userProjectAccessDenied", "", "grant roles/serviceusage.serviceUsageConsumer"),
        (403, "userProjectAccountProblem", "", "billing account"),
        (403, "accountDisabled", "The billing account for the owning project is disabled", "enable it"),
        (403, "accessNotConfigured", "", "enable the Cloud Storage JSON API"),
        (
            403,
            "vpcServiceControls",
            "Request is prohibited by organization's policy.",
            "VPC Service Controls",
        ),
        (
            403,
            "forbidden",
            f"Permission denied on Cloud KMS key. Please ensure it may use this key: {KMS}",
            "grant roles/cloudkms.cryptoKeyEncrypterDecrypter",
        ),
        (400, "cloudKmsDisabledKey", "", "storage.gcs.kms_key has to be a key that is enabled"),
        (400, "cloudKmsKeyLocationNotAllowed", "", "in the bucket's location"),
        (400, "invalid", "Invalid storage class", "storage.gcs.storage_class"),
    ],
)
def test_what_an_administrator_has_to_do_is_said(status: int, reason: str, message: str, advice: str) -> None:
    error = sorted_as(answer(status, reason, message))
    assert isinstance(error, StorageRefused)
    assert advice in str(error)
    assert str(error).startswith("object a: ")
    assert str(status) in str(error) or status == 404
    assert not str(error).endswith(".")


@pytest.mark.parametrize("reason", ["retentionPolicyNotMet", "objectUnderActiveHold"])
def test_what_keeps_one_object_is_about_that_object(reason: str) -> None:
    error = sorted_as(answer(403, reason, "kept"))
    assert isinstance(error, PermanentError)
    assert not isinstance(error, StorageRefused)


def test_an_object_that_is_not_there() -> None:
    assert isinstance(sorted_as(answer(404, "notFound", "No such object: b/a")), ObjectNotFound)
    assert isinstance(sorted_as(Answer(404, {}, b"")), ObjectNotFound)


def test_damage_is_what_the_bucket_noticed() -> None:
    message = 'Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "BBBBBB==".'
    assert is_damage(answer(400, "invalid", message))
    assert not is_damage(answer(400, "invalid", "Invalid argument"))
    assert not is_damage(answer(503, "", message))


@given(status=st.integers(300, 599), body=st.binary(max_size=200))
def test_whatever_an_answer_says_there_is_one_line_about_it(status: int, body: bytes) -> None:
    error = sorted_as(Answer(status, {}, body))
    assert isinstance(error, TemporaryError | PermanentError)
    assert "\n" not in str(error)
    assert len(str(error)) < 1000


@given(
    found=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["error", "errors", "message", "reason"]), inner, max_size=3)
        ),
    )
)
def test_documents_of_any_shape(found: object) -> None:
    given = Answer(403, {}, json.dumps(found).encode())
    assert isinstance(sorted_as(given), PacsNodeError)
    assert isinstance(document(given), dict)


@given(crc32c=st.integers(0, 0xFFFFFFFF))
def test_checksums_are_read_as_they_are_written(crc32c: int) -> None:
    text = encoded_crc32c(crc32c)
    assert decoded_crc32c(text) == crc32c
    assert stored_crc32c({"x-goog-hash": f"md5=CS9tHYTtyFntzj7B9nkkJQ==, crc32c={text}"}) == crc32c


def test_checksums_as_the_api_documents_them() -> None:
    assert encoded_crc32c(0) == "AAAAAA=="
    assert encoded_crc32c(0xE3069283) == "4waSgw=="  # of "123456789", RFC 3720


@pytest.mark.parametrize("text", ["", "AAAA", "AAAAAAAA", "?", "AAAAAA", None, 5])
def test_what_is_no_checksum(text: object) -> None:
    assert decoded_crc32c(text) is None


def test_headers_without_a_checksum() -> None:
    assert stored_crc32c({}) is None
    assert stored_crc32c({"x-goog-hash": "md5=CS9tHYTtyFntzj7B9nkkJQ=="}) is None


@pytest.mark.parametrize(("text", "number"), [("12", 12), (12, 12), ("", None), (None, None), ("1.5", None)])
def test_numbers_that_are_text(text: object, number: int | None) -> None:
    assert whole_number(text) == number
