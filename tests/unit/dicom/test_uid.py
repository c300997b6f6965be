"""UIDs, and what is stored in what: the tables against pydicom's UID dictionary (PS3.6 A)."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID

from pacsnode.dicom import uid
from pacsnode.errors import InvalidUID

UIDS = st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}", fullmatch=True)
REGISTERED = {value: (name, kind) for value, (name, kind, *_) in UID_dictionary.items()}
NOT_STORED_HERE = "1.2.840.10008.5.1.4.1.1."


@pytest.mark.parametrize("value", ["1", "1.2.840", "0.0", "1.02.3", "9" * 64, "1.2\0", "1.2  ", b"1.2\0"])
def test_a_uid_is_accepted_without_its_padding(value: str | bytes) -> None:
    text = value.decode() if isinstance(value, bytes) else value
    assert uid.validated(value) == text.rstrip("\0 ")


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "\0",
        "1.",
        ".1",
        "1..2",
        "1.a",
        "9" * 65,
        "1.2\0\0",
        "../etc",
        "1.2\n",
        "１.２",
        b"1.\xb2",
        "1.2\\3",
    ],
)
def test_anything_else_is_no_uid(value: str | bytes) -> None:
    with pytest.raises(InvalidUID):
        uid.validated(value)


@pytest.mark.parametrize(
    ("value", "said"), [("x", "1 character that is no UID"), ("xy", "2 characters that are")]
)
def test_the_message_counts_characters(value: str, said: str) -> None:
    with pytest.raises(InvalidUID, match=said):
        uid.validated(value)


@given(UIDS)
def test_packing_is_undone_by_unpacking_and_by_sqlite(value: str) -> None:
    blob = uid.packed(value)
    assert len(blob) == (len(value) + 1) // 2
    assert uid.unpacked(blob) == value
    with sqlite3.connect(":memory:") as connection:
        (text,) = connection.execute("SELECT rtrim(replace(hex(?), 'A', '.'), 'F')", (blob,)).fetchone()
    connection.close()
    assert text == value


def is_registered_storage(value: str, name: str) -> bool:
    """Decide by the names of PS3.6 and not by our tables."""
    is_storage = "Storage" in name and "Commitment" not in name and "Media Storage Directory" not in name
    return (is_storage or (not name and value.startswith(NOT_STORED_HERE))) and not any(
        word in name
        for word in ("Hanging", "Palette Storage", "Template", "Defined Procedure", "Approval", "Inventory")
    )


@pytest.mark.parametrize(
    ("value", "name"),
    [(value, name) for value, (name, kind) in REGISTERED.items() if kind.endswith("SOP Class")],
)
def test_registered_sop_classes_are_stored_if_they_are_storage_classes(value: str, name: str) -> None:
    assert uid.is_storage_sop_class(value) is is_registered_storage(value, name)
    assert uid.is_storage_sop_class(value, private=False) is is_registered_storage(value, name)


def test_the_other_kinds_of_registered_uids_are_no_sop_classes() -> None:
    others = [value for value, (_, kind) in REGISTERED.items() if "SOP Class" not in kind]
    assert len(others) > 100
    assert not [value for value in others if uid.is_storage_sop_class(value)]


def test_unknown_classes_are_stored_under_the_storage_root_and_private_ones_on_request() -> None:
    assert uid.is_storage_sop_class("1.2.840.10008.5.1.4.1.1.9999.1", private=False)
    assert not uid.is_storage_sop_class("1.2.840.10008.5.1.4.9999")
    assert uid.is_storage_sop_class("1.3.12.2.1107.5.9.1")
    assert not uid.is_storage_sop_class("1.3.12.2.1107.5.9.1", private=False)
    assert uid.is_storage_sop_class("1.2.840.100089.1"), "not under the root of DICOM"


def test_non_patient_objects_are_those_of_ps3_4_gg() -> None:
    kinds = ["Hanging Protocol", "Color Palette", "Template", "Template Group", "Inventory"]
    kinds += ["Defined Procedure Protocol", "Protocol Approval"]
    endings = tuple(f"{kind} Storage" for kind in kinds)
    expected = {value for value, (name, _) in REGISTERED.items() if name.endswith(endings)}
    assert len(expected) == 9
    assert {value for value in REGISTERED if uid.is_non_patient_object(value)} == expected


# In PS3.6, and not (yet) in the dictionary of the oldest pydicom that is allowed.
NEWER = {f"1.2.840.10008.1.2.4.{last}" for last in (110, 111, 112)} | {"1.2.840.10008.1.2.8.1"}
# No encodings of PS3.5, or without pixels: JPIP, MIME, XML, SMPTE ST 2110, Papyrus.
REFUSED = {f"1.2.840.10008.1.2.4.{last}" for last in (94, 95, 204, 205)} | {"1.2.840.10008.1.20"}
REFUSED |= {f"1.2.840.10008.1.2.{last}" for last in ("6.1", "6.2", "7.1", "7.2", "7.3")}


def test_accepted_transfer_syntaxes_are_the_registered_ones_that_carry_their_pixels() -> None:
    registered = {value for value, (_, kind) in REGISTERED.items() if kind == "Transfer Syntax"}
    assert set(uid.ACCEPTED_TRANSFER_SYNTAXES) - NEWER == registered - REFUSED - NEWER
    assert len(set(uid.ACCEPTED_TRANSFER_SYNTAXES)) == len(uid.ACCEPTED_TRANSFER_SYNTAXES)
    assert all(uid.is_accepted_transfer_syntax(value) for value in uid.ACCEPTED_TRANSFER_SYNTAXES)
    assert not [value for value in REFUSED if uid.is_accepted_transfer_syntax(value)]


def test_unknown_transfer_syntaxes_are_accepted_among_the_compressions_only() -> None:
    assert uid.is_accepted_transfer_syntax("1.2.840.10008.1.2.4.999")
    assert not uid.is_accepted_transfer_syntax("1.2.840.10008.1.2.9")
    assert not uid.is_accepted_transfer_syntax("1.2.840.113619.5.2"), "GE private"
    assert not uid.is_accepted_transfer_syntax("")


@pytest.mark.parametrize("value", uid.ACCEPTED_TRANSFER_SYNTAXES)
def test_the_properties_of_transfer_syntaxes_are_those_that_pydicom_knows(value: str) -> None:
    known = UID(value)
    if not known.is_transfer_syntax:
        assert uid.is_encapsulated(value)
        return
    assert uid.is_implicit_vr(value) is known.is_implicit_VR
    assert uid.is_big_endian(value) is not known.is_little_endian
    assert uid.is_deflated(value) is (known.is_deflated and not known.is_encapsulated)
    assert uid.is_encapsulated(value) is known.is_encapsulated
