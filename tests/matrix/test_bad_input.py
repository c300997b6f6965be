"""Queries that have no meaning, or are made to cost much: each ends soon, with a status that says what is wrong.

PS3.4 table C.4-1: 0xA900 and 0xC000 may carry the Offending Element (0000,0901) and the Error Comment (0000,0902).
The node lives on, and the association too: each test ends with a query that is answered.
"""

import struct
import time
from collections.abc import Iterator

import pytest

from pacsnode.dicom.attributes import STANDARD, Attribute
from pacsnode.dicom.keys import MAX_COMMENT_CHARACTERS, check_order, matching_of
from pacsnode.dicom.query import Options
from pacsnode.errors import InvalidIdentifier, InvalidUID
from tests.factories import element
from tests.interop import wire
from tests.interop.nodes import Running
from tests.matrix.archive import uid

LEVEL, STUDY_UID, SERIES_UID = 0x00080052, 0x0020000D, 0x0020000E
NAME, PATIENT_ID, STUDY_DATE, STUDY_TIME = 0x00100010, 0x00100020, 0x00080020, 0x00080030
DESCRIPTION, WEIGHT, NUMBER, ROWS = 0x00081030, 0x00101030, 0x00200011, 0x00280010
REQUEST_ATTRIBUTES, PRIVATE_SEQUENCE, CODES = 0x00400275, 0x00091001, 0x00081032

PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.1"
CONTEXTS = ((1, wire.STUDY_ROOT_FIND, (wire.EXPLICIT,)), (3, PATIENT_ROOT, (wire.EXPLICIT,)))

SOP_CLASSES = {number: abstract for number, abstract, _ in CONTEXTS}

# Ten times what is promised (0.5 s), on a machine that does something else as well.
_SECONDS = 5.0


@pytest.fixture
def peer(running: Running) -> Iterator[wire.Wire]:
    """An association that still answers in the end."""
    with wire.Wire(running.port) as peer:
        peer.associate(CONTEXTS)
        yield peer
        final, matches = ask(
            peer, element(LEVEL, "CS", b"STUDY ") + element(STUDY_UID, "UI", padded(uid("a")))
        )
        assert (final.status, matches) == (0x0000, 1)
        peer.release()


def ask(peer: wire.Wire, identifier: bytes, *, context: int = 1) -> tuple[wire.Response, int]:
    """Return the final response, and the number of matches before it."""
    sop_class = SOP_CLASSES[context].encode()
    command = wire.command(0x0020, has_data_set=True, e0002=sop_class, e0700=0)
    pieces = [identifier[at : at + 100_000] for at in range(0, len(identifier), 100_000)] or [b""]
    peer.send(wire.p_data(wire.pdv(context, command, is_command=True)))
    for piece in pieces:
        is_last = piece is pieces[-1]
        peer.send(wire.p_data(wire.pdv(context, piece, is_command=False, is_last=is_last)))
    matches = 0
    while (response := peer.message()).status in (0xFF00, 0xFF01):
        matches += 1
    return response, matches


def offending(response: wire.Response) -> list[int]:
    raw = response.command.get(0x0901, b"")
    numbers = struct.unpack(f"<{len(raw) // 2}H", raw)
    return [group << 16 | number for group, number in zip(numbers[::2], numbers[1::2], strict=True)]


def padded(text: str | bytes, padding: bytes = b"\0") -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return raw + padding * (len(raw) & 1)


def study(*keys: bytes, level: bytes = b"STUDY ") -> bytes:
    """Return an Identifier with these elements, in the order of their tags."""
    found = [element(LEVEL, "CS", level), element(STUDY_UID, "UI", b""), *keys]
    return b"".join(sorted(found, key=lambda data: struct.unpack_from("<HH", data)))


def key(tag: int, vr: str, text: str) -> bytes:
    return element(tag, vr, padded(text, b" "))


MEANINGLESS = {
    "an unknown level": (study(level=b"THING "), LEVEL),
    "a level in lower case": (study(level=b"study "), LEVEL),
    "an empty level": (study(level=b""), LEVEL),
    "no level": (element(STUDY_UID, "UI", b""), LEVEL),
    "two levels": (study(level=b"STUDY\\SERIES"), LEVEL),
    "a level below the model's": (study(level=b"PATIENT "), LEVEL),
    "a UID with letters": (element(LEVEL, "CS", b"STUDY ") + key(STUDY_UID, "UI", "1.2.abc"), STUDY_UID),
    "a UID that is too long": (element(LEVEL, "CS", b"STUDY ") + key(STUDY_UID, "UI", "1" * 66), STUDY_UID),
    "a UID with a wild card": (element(LEVEL, "CS", b"STUDY ") + key(STUDY_UID, "UI", "1.2.*"), STUDY_UID),
    "a day that is none": (study(key(STUDY_DATE, "DA", "20200230")), STUDY_DATE),
    "a month that is none": (study(key(STUDY_DATE, "DA", "20201301-")), STUDY_DATE),
    "words for a date": (study(key(STUDY_DATE, "DA", "TODAY")), STUDY_DATE),
    "a date with a wild card": (study(key(STUDY_DATE, "DA", "2020*")), STUDY_DATE),
    "a range without ends": (study(key(STUDY_DATE, "DA", "-")), STUDY_DATE),
    "a range with three ends": (study(key(STUDY_DATE, "DA", "20200101-20200102-20200103")), STUDY_DATE),
    "an hour that is none": (study(key(STUDY_TIME, "TM", "2500")), STUDY_TIME),
    "a time with a zone": (study(key(STUDY_TIME, "TM", "1030+0100")), STUDY_TIME),
    "a weight that is no number": (study(key(WEIGHT, "DS", "heavy")), WEIGHT),
    "64 wild cards in a text": (study(key(DESCRIPTION, "LO", "*a" * 64)), DESCRIPTION),
    "64 wild cards in a name": (study(key(NAME, "PN", "*?" * 32)), NAME),
    "10,000 question marks": (study(key(DESCRIPTION, "LO", "?" * 10_000)), DESCRIPTION),
    "1,000 names": (study(key(NAME, "PN", "\\".join(f"A^{number}" for number in range(1000)))), NAME),
    "1,000 patterns": (
        study(key(DESCRIPTION, "LO", "\\".join(f"*{number}*" for number in range(1000)))),
        DESCRIPTION,
    ),
    "a range of dates that ends before it begins": (
        study(key(STUDY_DATE, "DA", "20200102-20200101")),
        STUDY_DATE,
    ),
    "a range of times over midnight": (study(key(STUDY_TIME, "TM", "2300-0100")), STUDY_TIME),
    "a sequence with two items": (
        study(element(CODES, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 2)),
        CODES,
    ),
    "a sequence that is a text": (study(element(CODES, "SQ", b"CT of the head  ")), CODES),
    "a value of 1 MB": (study(element(DESCRIPTION, "UT", b"x" * (1 << 20))), DESCRIPTION),
    "a pattern of 1 MB": (study(element(DESCRIPTION, "UT", b"*x" * (1 << 19))), DESCRIPTION),
    "a name of 1 MB": (study(element(NAME, "UT", b"^" + b"x" * ((1 << 20) - 1))), NAME),
}


@pytest.mark.parametrize("what", MEANINGLESS)
def test_what_has_no_meaning_is_refused_and_its_element_named(peer: wire.Wire, what: str) -> None:
    identifier, tag = MEANINGLESS[what]
    started = time.perf_counter()
    response, matches = ask(peer, identifier)
    assert time.perf_counter() - started < _SECONDS
    assert (response.status, matches) == (0xA900, 0)
    assert offending(response) == [tag]
    assert_comment(response)


UNREADABLE = {
    "no data set at all": b"",
    "noise": b"\xff" * 64,
    "an element that ends too early": study(key(NAME, "PN", "DOE"))[:-2],
    "a sequence that has no end": study()
    + struct.pack("<HH2sxxI", 0x0040, 0x0275, b"SQ", 0xFFFFFFFF)
    + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_is_refused(peer: wire.Wire, what: str) -> None:
    response, matches = ask(peer, UNREADABLE[what])
    assert response.status in (0xA900, 0xC000)
    assert matches == 0
    assert_comment(response)


def nested(depth: int, tag: int, *, is_defined: bool) -> bytes:
    """Return a sequence within an item within a sequence and so on, of undefined or of defined lengths."""
    if not is_defined:
        start = struct.pack("<HH2sxxI", tag >> 16, tag & 0xFFFF, b"SQ", 0xFFFFFFFF)
        start += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        return start * depth + end * depth
    value = b""
    for _ in range(depth):
        value = element(tag, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value)
    return value


@pytest.mark.parametrize("is_defined", [True, False])
@pytest.mark.parametrize("depth", [100, 1000, 20_000])
@pytest.mark.parametrize("tag", [REQUEST_ATTRIBUTES, PRIVATE_SEQUENCE])
def test_sequences_nested_deeply_end_soon(peer: wire.Wire, tag: int, depth: int, is_defined: bool) -> None:
    started = time.perf_counter()
    response, _ = ask(peer, study(nested(depth, tag, is_defined=is_defined)))
    assert time.perf_counter() - started < _SECONDS
    assert response.status in (0x0000, 0xA900, 0xC000)
    if response.status:
        assert_comment(response)


COSTLY = {
    "32 wild cards in a text": (study(key(DESCRIPTION, "LO", "*e" * 32)), 0),
    "32 wild cards in a name": (study(key(NAME, "PN", "*?" * 16)), None),
    "a pattern of 10,000 characters": (study(key(DESCRIPTION, "LO", "*" + "e" * 9998 + "*")), 0),
    "1,000 UIDs": (
        element(LEVEL, "CS", b"STUDY ")
        + element(
            STUDY_UID, "UI", padded("\\".join([*(f"1.2.{number}" for number in range(999)), uid("a")]))
        ),
        1,
    ),
    "every other element of the dictionary": (
        study(*(element(0x00081000 + number, "LO", b"") for number in range(0x31, 0x1000))),
        None,
    ),
}


@pytest.mark.parametrize("what", COSTLY)
def test_what_costs_much_ends_soon(peer: wire.Wire, what: str) -> None:
    identifier, expected = COSTLY[what]
    started = time.perf_counter()
    response, matches = ask(peer, identifier)
    assert time.perf_counter() - started < _SECONDS
    assert response.status == 0x0000
    assert expected is None or matches == expected


def test_a_key_below_the_level_is_left_out_and_said(peer: wire.Wire) -> None:
    command = wire.command(0x0020, has_data_set=True, e0002=wire.STUDY_ROOT_FIND.encode(), e0700=0)
    identifier = study(key(NUMBER, "IS", "1"), key(PATIENT_ID, "LO", "P2"))
    peer.send(
        wire.p_data(wire.pdv(1, command, is_command=True)),
        wire.p_data(wire.pdv(1, identifier, is_command=False)),
    )
    statuses = [peer.message().status, peer.message().status]
    assert statuses == [0xFF01, 0x0000]


def assert_comment(response: wire.Response) -> None:
    """An Error Comment is a whole sentence of at most 64 characters, without anything that was sent."""
    comment = response.comment
    assert 8 <= len(comment) <= 64
    assert comment.isascii()
    assert comment.isprintable()


def test_a_comment_is_never_cut() -> None:
    """It is what the error says, whatever the attribute is called: its tag stands for a long keyword."""
    bad = (
        "\0\1x",
        "-",
        "20200230",
        "9" * 20_000,
        "*" * 1 + "?" * 99,
        "x\\*",
        "1.2.x",
        "20200202-20200101",
        "23-22",
    )
    errors = [
        (attribute, error)
        for attribute in STANDARD.attributes
        for text in bad
        for options in (Options(), Options(multiple_value=True, fuzzy_names=True))
        if (error := refusal(attribute, text, options)) is not None
    ]
    assert max(len(str(error)) for _, error in errors) <= MAX_COMMENT_CHARACTERS
    assert all(error.offending == (attribute.tag,) for attribute, error in errors)


def refusal(attribute: Attribute, text: str, options: Options) -> InvalidIdentifier | None:
    try:
        check_order(attribute, matching_of(attribute, text, options))
    except InvalidIdentifier as error:
        return error
    except InvalidUID:  # has a comment of its own
        pass
    return None
