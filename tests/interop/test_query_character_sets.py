"""Queries and answers in the character sets of the corpus: asked in one's own, in another, in none."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID
from pynetdicom.dsutils import decode

from pacsnode.dicom import charset
from pacsnode.dimse import scu
from pacsnode.dimse.association.requestor import Caller
from tests.character_sets import REPERTOIRES
from tests.corpus import corpus_files
from tests.factories import Sample
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
    for answer in answers:  # other names may have it as one of their component groups
        assert archived.name(file) in (_decoded(answer), *_decoded(answer).split("="))


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


@pytest.mark.parametrize(
    ("pattern", "file"),
    [
        ("buc^jerome", "chrFren.dcm"),
        ("BUC^JE\u0301RO\u0302ME", "chrFren.dcm"),  # NFD
        ("Διονύσιος", "chrGreek.dcm"),
        ("ＹＡＭＡＤＡ^ｔａｒｏｕ", "chrH31.dcm"),
        ("ヤマダ^タロウ", "chrH32.dcm"),
        ("ﾔﾏ*", "chrH32.dcm"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "chrH31.dcm"),
    ],
)
def test_names_match_without_regard_to_accents_and_width(archived: Archived, pattern: str, file: str) -> None:
    answers = archived.find(_asked(_UNICODE, PatientName=pattern))
    assert archived.originals[file].StudyInstanceUID in [answer.StudyInstanceUID for answer in answers]


# --- every character set of the Standard, asked in itself and in Unicode by DCMTK


def _name(sets: tuple[str, ...]) -> str:
    own = REPERTOIRES[sets]
    middle = own[len(own) // 2 :]
    return f"{middle[:4]}^x{middle[4:6]}"


def _study(number: int) -> str:
    return f"{_ROOT_UID}.9.{number}"


def _padded(value: bytes) -> bytes:
    return value + b" " * (len(value) & 1)


@pytest.fixture(scope="module")
def all_sets(start_shared_node: StartNode, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A node with one study in each character set."""
    folder, files = tmp_path_factory.mktemp("sets"), []
    for number, sets in enumerate(REPERTOIRES):
        raw = charset.encode(_name(sets), "PN", sets)
        assert raw is not None
        said = _padded("\\".join(sets).encode())
        more = ((0x00080005, "CS", said), (0x00100010, "PN", _padded(raw)), (0x00100020, "LO", b"ALL "))
        sample = Sample(study=_study(number), series=f"{_study(number)}.1", more=more)
        files.append(folder / f"{number}.dcm")
        files[-1].write_bytes(sample.file)
    running = start_shared_node(peers=[])
    assert {result.status for result in scu.send(Caller("TESTSCU"), running.remote, files)} == {0}
    return running


def _asked_by_findscu(running: Running, folder: Path, sets: tuple[str, ...], name: bytes) -> list[Dataset]:
    """Return the answers to a query that is read from a file, so that its bytes are ours."""
    query = folder / "query.dcm"
    query.write_bytes(
        wire.element(0x00080005, _padded("\\".join(sets).encode()))
        + wire.element(0x00080052, b"STUDY ")
        + wire.element(0x00100010, _padded(name))
        + wire.element(0x0020000D, b"")
    )
    ran, answers = dcmtk.find(running.port, folder / "answers", "-S", str(query))
    assert ran.exit_code == 0, ran.output
    return answers


@pytest.mark.filterwarnings("ignore:Unknown encoding 'ISO")  # pydicom's, of Latin-9: it reads the rest
@pytest.mark.parametrize(("number", "sets"), list(enumerate(REPERTOIRES)), ids=str)
def test_findscu_asks_in_every_character_set(
    all_sets: Running, tmp_path: Path, number: int, sets: tuple[str, ...]
) -> None:
    raw = charset.encode(_name(sets), "PN", sets)
    assert raw is not None
    answers = _asked_by_findscu(all_sets, tmp_path, sets, raw)
    assert _study(number) in [answer.StudyInstanceUID for answer in answers]
    for answer in answers:  # the same name in another set is written in the one that is asked in
        assert answer.SpecificCharacterSet == (sets[0] if len(sets) == 1 else list(sets))
        assert answer.get_item(0x00100010).value.rstrip() == raw


@pytest.mark.parametrize(("number", "sets"), list(enumerate(REPERTOIRES)), ids=str)
def test_findscu_asks_in_unicode_for_every_character_set(
    all_sets: Running, tmp_path: Path, number: int, sets: tuple[str, ...]
) -> None:
    answers = _asked_by_findscu(all_sets, tmp_path, (_UNICODE,), _name(sets).encode())
    assert _study(number) in [answer.StudyInstanceUID for answer in answers]
    assert {answer.SpecificCharacterSet for answer in answers} == {_UNICODE}
    assert {str(answer.PatientName) for answer in answers} == {_name(sets)}


# --- peers that say nothing, and peers that lie


@pytest.fixture(scope="module")
def told(start_shared_node: StartNode) -> Archived:
    """A node that knows what two peers write, whatever they say."""
    peers = [
        {"ae_title": "SILENT", "default_character_set": "ISO_IR 144"},
        {"ae_title": "LIAR", "character_set": ["", "ISO 2022 IR 149"]},
    ]
    return Archived(start_shared_node(peers=peers), {})


def _find(told: Archived, calling: str, *elements: bytes) -> list[bytes]:
    """Return the answers to a query on the wire."""
    with wire.Wire(told.running.port) as peer:
        peer.associate([(1, _STUDY_ROOT, (wire.IMPLICIT,))], calling=calling.encode())
        request = wire.command(0x0020, has_data_set=True, e0002=_STUDY_ROOT.encode(), e0700=0)
        data = b"".join(elements)
        peer.send(wire.p_data(wire.pdv(1, request, is_command=True), wire.pdv(1, data, is_command=False)))
        answers = []
        while (answer := peer.message()).status == 0xFF00:
            answers.append(answer.data_set)
        assert answer.status == 0, answer.comment
        peer.release()
    return answers


_LEVEL = wire.element(0x00080052, b"STUDY ")


def _sent_by(told: Archived, folder: Path, calling: str, number: int, *more: tuple[int, str, bytes]) -> str:
    """Send a study as a peer; return its UID."""
    study = f"{_ROOT_UID}.8.{number}"
    (folder / "image.dcm").write_bytes(Sample(study=study, series=f"{study}.1", more=more).file)
    ran = dcmtk.run("storescu", told.running.port, folder / "image.dcm", aet=calling)
    assert ran.exit_code == 0, ran.output
    return study


@pytest.mark.parametrize("said", [None, b""])
def test_a_peer_that_says_nothing_has_a_default(told: Archived, tmp_path: Path, said: bytes | None) -> None:
    name = "Сидоров^Пётр".encode("iso8859_5")
    silence = () if said is None else ((0x00080005, "CS", said),)
    number = 1 if said is None else 2
    study = _sent_by(told, tmp_path, "SILENT", number, (0x00100010, "PN", name), *silence)
    found = told.find(_asked(_UNICODE, PatientName="сидоров^петр", StudyInstanceUID=study))
    assert [_decoded(answer) for answer in found] == ["Сидоров^Пётр"]
    uid = wire.element(0x0020000D, study.encode())
    (answer,) = _find(told, "SILENT", _LEVEL, wire.element(0x00100010, name[:7] + b"*"), uid)
    assert wire.element(0x00080005, b"ISO_IR 144") in answer
    assert wire.element(0x00100010, name) in answer


def test_a_peer_that_lies_is_overridden(told: Archived, tmp_path: Path) -> None:
    name, lie = "홍^길동", (0x00080005, "CS", b"ISO_IR 192")
    raw = name.encode("euc_kr") + b" "
    study = _sent_by(told, tmp_path, "LIAR", 3, lie, (0x00100010, "PN", raw))
    found = told.find(_asked(_UNICODE, PatientName=name, StudyInstanceUID=study))
    assert [_decoded(answer) for answer in found] == [name]
    lied = wire.element(0x00080005, b"ISO_IR 192")
    uid = wire.element(0x0020000D, study.encode())
    (answer,) = _find(told, "LIAR", lied, _LEVEL, wire.element(0x00100010, raw[:2] + b"* "), uid)
    assert wire.element(0x00080005, b"\\ISO 2022 IR 149") in answer
    assert wire.element(0x00100010, b"\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf ") in answer


def test_a_retrieve_is_read_by_the_rule_too(told: Archived, tmp_path: Path) -> None:
    """What cannot be sent for want of a context was found all the same."""
    patient = "Ж-7 ".encode("iso8859_5")
    _sent_by(told, tmp_path, "SILENT", 4, (0x00100020, "LO", patient))
    model = "1.2.840.10008.5.1.4.1.2.1.3"
    remaining = {}
    for calling in ("SILENT", "WIRE"):
        with wire.Wire(told.running.port) as peer:
            peer.associate([(1, model, (wire.IMPLICIT,))], calling=calling.encode())
            request = wire.command(0x0010, has_data_set=True, e0002=model.encode(), e0700=0)
            data = wire.element(0x00080052, b"PATIENT ") + wire.element(0x00100020, patient)
            peer.send(wire.p_data(wire.pdv(1, request, is_command=True), wire.pdv(1, data, is_command=False)))
            while (answer := peer.message()).status == 0xFF00:
                pass
            remaining[calling] = answer.us(0x1022)  # Number of Failed Sub-operations
    assert remaining == {"SILENT": 1, "WIRE": 0}


def test_what_cannot_be_decoded_is_answered_and_marked(told: Archived, tmp_path: Path) -> None:
    lie = (0x00080005, "CS", b"ISO_IR 192")
    study = _sent_by(told, tmp_path, "TESTSCU", 5, lie, (0x00100010, "PN", b"M\xfcller^J\xfcrgen"))
    found = told.find(_asked(_UNICODE, PatientName="*\ufffd*", StudyInstanceUID=study))
    assert [_decoded(answer) for answer in found] == ["M\ufffdller^J\ufffdrgen"]
