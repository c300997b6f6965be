"""Queries and answers in the character sets of the corpus: asked in one's own, in another, in none."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID
from pynetdicom.dsutils import decode

from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from tests.corpus import corpus_files
from tests.interop import dcmtk, peers, wire
from tests.interop.nodes import Running, StartNode

_STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
_ROOT_UID = "1.2.826.0.1.3680043.10.2"
_UNICODE = "ISO_IR 192"

_FILES = (
    "chrArab.dcm",
    "chrFren.dcm",
    "chrFrenMulti.dcm",
    "chrGerm.dcm",
    "chrGreek.dcm",
    "chrH31.dcm",
    "chrH32.dcm",
    "chrHbrw.dcm",
    "chrI2.dcm",
    "chrJapMulti.dcm",
    "chrJapMultiExplicitIR6.dcm",
    "chrKoreanMulti.dcm",
    "chrRuss.dcm",
    "chrX1.dcm",
    "chrX2.dcm",
    "chrGB2312.dcm",
    "GH1301.dcm",
)
_CODE_EXTENSIONS = {
    "chrH31.dcm",
    "chrH32.dcm",
    "chrI2.dcm",
    "chrJapMulti.dcm",
    "chrJapMultiExplicitIR6.dcm",
    "chrKoreanMulti.dcm",
    "chrGB2312.dcm",
}


# pydicom leaves this escape sequence (GB 2312 to G1) in what it decodes.
_LEFT_BY_PYDICOM = "\x1b$)A"


def _decoded(data_set: Dataset) -> str:
    return str(data_set.PatientName).replace(_LEFT_BY_PYDICOM, "").rstrip()


class Archived:
    """A node that holds one study of each file, and what pydicom reads in them."""

    def __init__(self, running: Running, originals: Mapping[str, Dataset]) -> None:
        self.running = running
        self.originals = originals

    def name(self, file: str) -> str:
        """Return the patient's name as pydicom decodes it."""
        return _decoded(self.originals[file])

    def find(self, asked: Dataset, *, calling: str = "PYNETDICOM") -> list[Dataset]:
        """Return the answers, which must be complete."""
        asked.QueryRetrieveLevel = "STUDY"
        with peers.association(
            self.running.port, [(_STUDY_ROOT, wire.EXPLICIT)], calling=calling
        ) as established:
            responses = list(established.send_c_find(asked, _STUDY_ROOT))
        assert responses[-1][0].Status == 0, responses[-1][0]
        return [answer for _, answer in responses if answer is not None]


@pytest.fixture(scope="module")
def archived(start_shared_node: StartNode, tmp_path_factory: pytest.TempPathFactory) -> Archived:
    """The files of the corpus share their UIDs: each gets its own, and nothing else is changed."""
    paths = {file.path.name: file.path for file in corpus_files()}
    folder = tmp_path_factory.mktemp("charsets")
    originals, files = {}, []
    for number, name in enumerate(_FILES, 1):
        data_set = dcmread(paths[name])
        data_set.StudyInstanceUID = f"{_ROOT_UID}.{number}"
        data_set.SeriesInstanceUID = f"{_ROOT_UID}.{number}.1"
        data_set.SOPInstanceUID = f"{_ROOT_UID}.{number}.1.1"
        data_set.file_meta.MediaStorageSOPInstanceUID = UID(data_set.SOPInstanceUID)
        data_set.PatientID = f"CHARSET{number}"
        data_set.save_as(folder / name)
        originals[name] = dcmread(folder / name)
        files.append(folder / name)
    running = start_shared_node(peers=[{"ae_title": "UNICODE", "character_set": _UNICODE}])
    assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
    return Archived(running, originals)


def _asked(character_set: str | list[str] | None, **keys: str) -> Dataset:
    asked = Dataset()
    if character_set is not None:
        asked.SpecificCharacterSet = character_set
    asked.StudyInstanceUID = ""
    asked.PatientName = ""
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return asked


@pytest.mark.parametrize("asked_in", ["none", "own", _UNICODE, "ISO_IR 100", "ISO_IR 144"])
@pytest.mark.parametrize("file", _FILES)
def test_answers_decode_whatever_is_asked_in(archived: Archived, file: str, asked_in: str) -> None:
    original = archived.originals[file]
    character_set = {"none": None, "own": original.SpecificCharacterSet}.get(asked_in, asked_in)
    (answer,) = archived.find(_asked(character_set, StudyInstanceUID=original.StudyInstanceUID))
    assert _decoded(answer) == archived.name(file)
    if asked_in == _UNICODE:
        assert answer.SpecificCharacterSet == _UNICODE


# pydicom writes ISO 2022 IR 58 without its escape sequences, which says something else.
@pytest.mark.parametrize("file", [file for file in _FILES if file != "chrGB2312.dcm"])
def test_a_name_is_found_in_its_own_character_set(archived: Archived, file: str) -> None:
    original = archived.originals[file]
    answers = archived.find(_asked(original.SpecificCharacterSet, PatientName=archived.name(file)))
    assert original.StudyInstanceUID in [answer.StudyInstanceUID for answer in answers]
    assert {_decoded(answer) for answer in answers} == {archived.name(file)}


@pytest.mark.parametrize("file", _FILES)
def test_a_name_is_found_in_unicode(archived: Archived, file: str) -> None:
    original = archived.originals[file]
    for pattern in (archived.name(file), archived.name(file)[:-1] + "?", archived.name(file)[:4] + "*"):
        answers = archived.find(_asked(_UNICODE, PatientName=pattern))
        assert original.StudyInstanceUID in [answer.StudyInstanceUID for answer in answers]
        assert len(answers) < len(_FILES)


@pytest.mark.parametrize("file", _FILES)
def test_peers_character_set_overrides(archived: Archived, file: str) -> None:
    original = archived.originals[file]
    asked = _asked(original.SpecificCharacterSet, StudyInstanceUID=original.StudyInstanceUID)
    (answer,) = archived.find(asked, calling="UNICODE")
    assert answer.SpecificCharacterSet == _UNICODE
    assert _decoded(answer) == archived.name(file)


def test_all_answers_at_once(archived: Archived) -> None:
    answers = archived.find(_asked(None))
    names = {str(answer.StudyInstanceUID): _decoded(answer) for answer in answers}
    assert names == {str(o.StudyInstanceUID): archived.name(file) for file, o in archived.originals.items()}


@pytest.mark.parametrize(
    ("pattern", "file"),
    [
        ("люкceмбypг", "chrRuss.dcm"),
        ("ΔΙΟΝΥΣΙΟΣ", "chrGreek.dcm"),
        ("äneas^rüdiger", "chrGerm.dcm"),
        ("BUC^JÉRÔME", "chrFren.dcm"),
    ],
)
def test_names_match_without_regard_to_case(archived: Archived, pattern: str, file: str) -> None:
    answers = archived.find(_asked(_UNICODE, PatientName=pattern))
    assert archived.originals[file].StudyInstanceUID in [answer.StudyInstanceUID for answer in answers]


@pytest.mark.parametrize("file", sorted(set(_FILES) - _CODE_EXTENSIONS))
def test_findscu_asks_in_unicode(archived: Archived, tmp_path: Path, file: str) -> None:
    keys = (
        "QueryRetrieveLevel=STUDY",
        f"SpecificCharacterSet={_UNICODE}",
        f"PatientName={archived.name(file)}",
    )
    asked = [part for key in (*keys, "StudyInstanceUID") for part in ("-k", key)]
    ran, answers = dcmtk.find(archived.running.port, tmp_path / "answers", "-S", *asked)
    assert ran.exit_code == 0, ran.output
    assert archived.originals[file].StudyInstanceUID in [answer.StudyInstanceUID for answer in answers]
    assert {_decoded(answer) for answer in answers} == {archived.name(file)}


@pytest.mark.parametrize("character_set", [b"ISO_IR 999", b"UTF8", b"\\\\\\", b"ISO 2022 IR 87\\ISO_IR 192"])
def test_unknown_character_set_is_answered_in_a_known_one(archived: Archived, character_set: bytes) -> None:
    original = archived.originals["chrRuss.dcm"]
    asked = (
        wire.element(0x00080005, character_set + b" " * (len(character_set) & 1))
        + wire.element(0x00080052, b"STUDY ")
        + wire.element(0x00100010, b"")
        + wire.element(0x0020000D, str(original.StudyInstanceUID).encode())
    )
    request = wire.command(0x0020, has_data_set=True, e0002=_STUDY_ROOT.encode(), e0700=0)
    with wire.Wire(archived.running.port) as peer:
        peer.associate([(1, _STUDY_ROOT, (wire.IMPLICIT,))])
        peer.send(wire.p_data(wire.pdv(1, request, is_command=True), wire.pdv(1, asked, is_command=False)))
        answer = peer.message()
        assert answer.status == 0xFF00
        assert _decoded(decode(BytesIO(answer.data_set), True, True)) == archived.name("chrRuss.dcm")
        assert peer.message().status == 0
        peer.release()
