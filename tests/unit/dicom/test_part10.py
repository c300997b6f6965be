"""File Meta Information: written, read back, and made out from files of any origin."""

import warnings
from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from pacsnode.dicom import part10, uid
from pacsnode.dicom.header import Incomplete
from pacsnode.dicom.part10 import Meta, file_meta, identify, parse_meta
from pacsnode.dicom.uid import EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacsnode.errors import UnreadableDataSet
from tests.corpus import corpus_files
from tests.unit.dicom.headers import CT, SYNTAXES, data_set, element

INSTANCE = "1.2.826.0.1.3680043.8.498.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
UIDS = st.from_regex(r"[1-9][0-9]{0,8}(\.[1-9][0-9]{0,8}){0,5}", fullmatch=True)
TITLES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=16).map(str.strip)


def written(**changes: str) -> bytes:
    arguments = {
        "sop_class_uid": CT,
        "sop_instance_uid": INSTANCE,
        "transfer_syntax_uid": EXPLICIT_VR_LITTLE_ENDIAN,
        "calling_ae_title": "CT1",
        "called_ae_title": "PACSNODE",
    }
    return file_meta(**{**arguments, **changes})


def meta_element(tag: int, text: str) -> bytes:
    return element(tag, "UI", text.encode() + b"\0" * (len(text) % 2))


def test_pydicom_reads_what_is_written() -> None:
    head = written()
    meta = dcmread(BytesIO(head)).file_meta
    assert meta.FileMetaInformationGroupLength == len(head) - 144
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.MediaStorageSOPClassUID == CT
    assert meta.MediaStorageSOPInstanceUID == INSTANCE
    assert meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN
    assert meta.ImplementationClassUID == part10.IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == part10.IMPLEMENTATION_VERSION_NAME
    assert meta.SendingApplicationEntityTitle == "CT1"
    assert meta.ReceivingApplicationEntityTitle == "PACSNODE"
    assert list(meta.keys()) == sorted(meta.keys())
    assert len(meta) == 9
    assert head[:132] == bytes(128) + b"DICM"


def test_the_implementation_is_named_within_the_limits() -> None:
    assert uid.validated(part10.IMPLEMENTATION_CLASS_UID).startswith("2.25.")
    assert int(part10.IMPLEMENTATION_CLASS_UID[5:]) < 1 << 128
    assert len(part10.IMPLEMENTATION_VERSION_NAME) <= 16


@given(UIDS, UIDS, UIDS, TITLES, TITLES, st.binary(max_size=50))
def test_what_is_written_is_parsed(
    sop_class: str, instance: str, syntax: str, calling: str, called: str, rest: bytes
) -> None:
    head = written(
        sop_class_uid=sop_class,
        sop_instance_uid=instance,
        transfer_syntax_uid=syntax,
        calling_ae_title=calling,
        called_ae_title=called,
    )
    assert len(head) % 2 == 0
    assert parse_meta(head + b"\x08\0" + rest) == Meta(
        sop_class, instance, syntax, calling, called, len(head)
    )


def test_titles_are_bounded_and_ascii() -> None:
    meta = parse_meta(written(calling_ae_title=" " * 3 + "A" * 40, called_ae_title="Münster\0"))
    assert (meta.calling_ae_title, meta.called_ae_title) == ("A" * 16, "M?nster")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"DICM",
        bytes(132),
        written()[:200],
        written(transfer_syntax_uid=""),
        written(sop_class_uid="x"),
        written()[:132],
        written(sop_instance_uid="1." * 40),
        bytes(128) + b"DICM" + element(0x00020102, "OB", b"", length=1 << 30),
    ],
)
def test_what_is_not_a_whole_meta_is_unreadable(head: bytes) -> None:
    with pytest.raises(UnreadableDataSet):
        parse_meta(head)


def test_a_wrong_group_length_is_not_believed() -> None:
    head = written()
    lying = head[:140] + b"\xff\xff\xff\x7f" + head[144:]
    assert parse_meta(lying + data_set()) == parse_meta(head + data_set())


# --- files of unknown origin


def test_a_file_without_a_data_set_is_refused() -> None:
    with pytest.raises(UnreadableDataSet, match="no data set"):
        identify(written(), is_complete=True)
    with pytest.raises(Incomplete):
        identify(written(), is_complete=False)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("start", [bytes(128) + b"DICM", b"II*\0" + bytes(124) + b"DICM", b"DICM", b""])
def test_files_are_made_out_with_and_without_preamble_and_meta(syntax: str, start: bytes) -> None:
    metas = {
        "whole": written(transfer_syntax_uid=syntax)[132:],
        "no group length": written(transfer_syntax_uid=syntax)[144:],
        "no transfer syntax": meta_element(0x00020002, CT) + meta_element(0x00020003, INSTANCE),
        "no UIDs": meta_element(0x00020010, syntax),
        "no meta": b"",
    }
    for name, meta in metas.items():
        found = identify(start + meta + data_set(syntax=syntax), is_complete=True)
        assert (found.sop_class_uid, found.sop_instance_uid) == (CT, INSTANCE), name
        assert found.transfer_syntax_uid == syntax, name
        assert found.data_set_offset == len(start) + len(meta), name


def test_the_data_set_wins_over_the_meta() -> None:
    head = written(sop_class_uid="1.2.3", sop_instance_uid="1.2.4")
    found = identify(head + data_set(), is_complete=True)
    assert (found.sop_class_uid, found.sop_instance_uid) == (CT, INSTANCE)
    without = data_set(without=(0x00080016, 0x00080018))
    found = identify(head + without, is_complete=True)
    assert (found.sop_class_uid, found.sop_instance_uid) == ("1.2.3", "1.2.4")
    assert found.calling_ae_title == "CT1"


@pytest.mark.parametrize("actual", SYNTAXES)
@pytest.mark.parametrize("claimed", [*SYNTAXES, "", "not a uid"])
def test_the_transfer_syntax_is_the_one_that_the_data_set_is_in(claimed: str, actual: str) -> None:
    head = written(transfer_syntax_uid=claimed)
    assert identify(head + data_set(syntax=actual), is_complete=True).transfer_syntax_uid == actual


def test_a_claim_of_compression_stands_since_nothing_else_tells_of_it() -> None:
    for syntax in (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN):
        head = written(transfer_syntax_uid=JPEG_BASELINE)
        assert identify(head + data_set(syntax=syntax), is_complete=True).transfer_syntax_uid == JPEG_BASELINE


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_dicomdir_is_no_instance(syntax: str) -> None:
    listing = element(0x00041130, "CS", b"SET1", syntax) + element(0x00041200, "UL", bytes(4), syntax)
    named = written(sop_class_uid=uid.MEDIA_STORAGE_DIRECTORY, transfer_syntax_uid=syntax)
    for head in (
        named + listing,
        listing,
        written(transfer_syntax_uid=syntax) + listing,
        named + data_set()[26:],
    ):
        with pytest.raises(UnreadableDataSet, match="DICOMDIR"):
            identify(head, is_complete=True)


@pytest.mark.parametrize(
    "content", [b"", b"%PDF-1.7 and more", bytes(1000), b"\x89PNG\r\n\x1a\n" + bytes(100)]
)
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(UnreadableDataSet):
        identify(content, is_complete=True)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_prefix_is_incomplete_until_it_suffices(syntax: str) -> None:
    whole = written(transfer_syntax_uid=syntax) + data_set(syntax=syntax)
    expected = identify(whole, is_complete=True)
    outcomes: list[bool | None] = []
    for end in range(133, len(whole)):
        try:
            outcomes.append(identify(whole[:end], is_complete=False) == expected)
        except Incomplete:
            outcomes.append(None)
    assert False not in outcomes
    assert outcomes[-1] is True
    assert outcomes == sorted(outcomes, key=bool), "once it is known it stays so"


def pydicom_of(raw: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(BytesIO(raw), force=True, stop_before_pixels=True)


def test_the_corpus_is_made_out_as_pydicom_does() -> None:
    count = 0
    for file in corpus_files():
        raw = file.path.read_bytes()
        theirs = pydicom_of(raw)
        if "DICOMDIR" in file.flags:
            with pytest.raises(UnreadableDataSet, match="DICOMDIR"):
                identify(raw, is_complete=True)
            continue
        if not theirs.get("SOPClassUID") or "invalid_SOPInstanceUID" in file.flags:
            continue
        ours = identify(raw, is_complete=True)
        assert identify(raw[: len(raw) // 2 + 1024], is_complete=False) == ours, file.path
        assert (ours.sop_class_uid, ours.sop_instance_uid) == (theirs.SOPClassUID, theirs.SOPInstanceUID), (
            file.path
        )
        syntax = theirs.file_meta.get("TransferSyntaxUID")
        if syntax is None:
            is_implicit, is_little = theirs.original_encoding
            names = {True: IMPLICIT_VR_LITTLE_ENDIAN, False: EXPLICIT_VR_LITTLE_ENDIAN}
            syntax = names[bool(is_implicit)] if is_little else EXPLICIT_VR_BIG_ENDIAN
        assert ours.transfer_syntax_uid == syntax, file.path
        count += 1
    assert count > 400


def test_files_with_the_meta_of_another_syntax_are_made_out_from_the_data_set() -> None:
    flagged = [file for file in corpus_files() if file.flags & {"no_meta", "no_preamble", "no_ts"}]
    assert len(flagged) >= 6
    for file in flagged:
        if "missing_SOPInstanceUID" not in file.flags:
            identify(file.path.read_bytes(), is_complete=True)


def identify_anything(head: bytes, *, is_complete: bool) -> None:
    try:
        identify(head, is_complete=is_complete)
    except UnreadableDataSet:
        pass
    except Incomplete:
        assert not is_complete
    try:
        parse_meta(head)
    except UnreadableDataSet:
        pass


@given(st.binary(max_size=300), st.booleans(), st.booleans())
@example(b"\x02\0\x10\0UI", True, False)
def test_arbitrary_bytes_raise_only_request_errors(
    head: bytes, is_complete: bool, has_preamble: bool
) -> None:
    identify_anything((bytes(128) + b"DICM") * has_preamble + head, is_complete=is_complete)


@given(
    st.lists(st.tuples(st.integers(128, 600), st.binary(min_size=1, max_size=3)), max_size=5), st.booleans()
)
def test_mutated_files_raise_only_request_errors(
    mutations: list[tuple[int, bytes]], is_complete: bool
) -> None:
    head = written() + data_set()
    for at, change in mutations:
        head = head[:at] + change + head[at + len(change) :]
    identify_anything(head, is_complete=is_complete)
