"""`index.extra_tags`: what may be written, and where a mistake is told."""

from pathlib import Path

import pytest

from pacsnode.config import Config, read
from pacsnode.config.index import MAX_EXTRA_TAGS, ExtraTag
from pacsnode.dicom.attributes import STANDARD, Level
from pacsnode.errors import ConfigError


def config_of(tmp_path: Path, text: str, **environment: str) -> Config:
    file = tmp_path / "node.toml"
    file.write_text(f"[index]\n{text}\n", encoding="utf-8")
    return read(file, environment=environment).config


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        config_of(tmp_path, text)
    return [line.removeprefix(f"{tmp_path / 'node.toml'}:") for line in str(raised.value).splitlines()]


def test_without_any_the_catalogue_is_the_standard_one(tmp_path: Path) -> None:
    assert Config().catalogue() is STANDARD
    assert config_of(tmp_path, "extra_tags = []").catalogue() is STANDARD


def test_keywords_tags_and_tables(tmp_path: Path) -> None:
    catalogue = config_of(
        tmp_path,
        """extra_tags = ["SoftwareVersions", { tag = "0018,0050", level = "series" },
        { tag = "0019,xx0C:SIEMENS MR HEADER", level = "image" },
        { tag = "0051,xx99:ACME", level = "study", vr = "LO" }]""",
    ).catalogue()
    assert [(one.keyword, one.level, one.vr) for one in catalogue.extra] == [
        ("SoftwareVersions", Level.SERIES, "LO"),
        ("SliceThickness", Level.SERIES, "DS"),
        ("0019,xx0C:SIEMENS MR HEADER", Level.IMAGE, "IS"),
        ("0051,xx99:ACME", Level.STUDY, "LO"),
    ]
    found = catalogue.private(0x0019120C, "SIEMENS MR HEADER")
    assert found is not None
    assert found.keyword == "0019,xx0C:SIEMENS MR HEADER"
    assert catalogue.private(0x0019120C, "SIEMENS") is None
    assert catalogue.by_tag[0x00181020] is catalogue.by_keyword["SoftwareVersions"]
    assert len(catalogue.attributes) == len(STANDARD.attributes) + 4


def test_a_list_in_the_environment_has_tags_without_comma(tmp_path: Path) -> None:
    config = config_of(tmp_path, "", PACSNODE_INDEX__EXTRA_TAGS="SoftwareVersions, 00180050")
    assert [one.keyword for one in config.catalogue().extra] == ["SoftwareVersions", "SliceThickness"]


def test_each_mistake_has_its_line_its_key_and_what_is_allowed(tmp_path: Path) -> None:
    text = """extra_tags = [  # a comment with a ], and a "quote
    "SoftwareVersions", "Nonsense",
    # "not, counted",
    { tag = "0018,0050", levle = "series" },
    { tag = "0040,0999", level = "every" }, { level = "study" },
    17,
    "PatientName",
    { tag = "0019,xxF0:A, [B]", level = "series" },
]
match_case = 3"""
    nonsense, levle, every, missing, number, known, private, case = mistakes(tmp_path, text)
    assert nonsense.startswith('3: index.extra_tags[2] = "Nonsense": ')
    assert "expected a keyword, a tag GGGG,EEEE, or GGGG,xxEE:CREATOR" in nonsense
    assert levle == "5: index.extra_tags[3].levle: there is no such key; did you mean level?"
    assert every.startswith('6: index.extra_tags[4].level = "every": ')
    assert "'patient', 'study', 'series' or 'image'" in every
    assert missing.startswith("6: index.extra_tags[5].tag: is required (A keyword, a tag")
    assert number.startswith("7: index.extra_tags[6]")
    assert known.startswith(
        '8: index.extra_tags[7] = "PatientName": PatientName is in the index without this'
    )
    assert (
        "9: index.extra_tags[8]: 0019,xxF0:A, [B] is not in the dictionary and needs a vr: AE, AS" in private
    )
    assert case.startswith("11: index.match_case")


def test_an_attribute_is_there_once(tmp_path: Path) -> None:
    (twice,) = mistakes(
        tmp_path, 'extra_tags = [\n"SoftwareVersions",\n{ tag = "0018,1020", level = "study" }]'
    )
    assert twice.startswith("4: index.extra_tags[2]: SoftwareVersions is there twice; each has one level")


def test_how_many_there_may_be(tmp_path: Path) -> None:
    tags = [
        f"""{{ tag = "0011,xx{at:02X}:ACME", level = "image", vr = "LO" }}"""
        for at in range(MAX_EXTRA_TAGS + 1)
    ]
    assert (
        len(config_of(tmp_path, f"extra_tags = [{', '.join(tags[1:])}]").catalogue().extra) == MAX_EXTRA_TAGS
    )
    (mistake,) = mistakes(tmp_path, f"extra_tags = [{', '.join(tags)}]")
    assert f"expected up to {MAX_EXTRA_TAGS} attributes, not {MAX_EXTRA_TAGS + 1}" in mistake


def test_a_tag_is_an_attribute() -> None:
    assert ExtraTag.model_validate("SoftwareVersions").attribute().is_extra
