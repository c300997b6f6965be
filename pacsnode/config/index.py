"""The index: where it is, what it has beside the standard attributes, and how far a search goes."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pacsnode.config.quantities import Duration
from pacsnode.config.values import PlacedError, Section, Text, WholeNumber, listed
from pacsnode.dicom.attributes import Attribute, Level

MAX_EXTRA_TAGS = 64


class ExtraLevel(Enum):
    """Query/Retrieve Level, as it is written here."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    IMAGE = "image"


class ExtraTag(Section):
    """One attribute more that can be asked for."""

    tag: Annotated[str, Field(min_length=1, max_length=96)]
    """A keyword, a tag "GGGG,EEEE", or "GGGG,xxEE:CREATOR" for a private attribute."""
    level: ExtraLevel | None = None
    """Whose attribute it is: "patient", "study", "series" or "image"; needed where the Standard does not say."""
    vr: Text | None = None
    """Value Representation, such as "LO"; needed for what is not in the dictionary."""

    @model_validator(mode="before")
    @classmethod
    def _by_its_tag_alone(cls, value: Any) -> Any:
        return {"tag": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _can_be_added(self) -> "ExtraTag":
        self.attribute()
        return self

    def attribute(self) -> Attribute:
        """Return it as the index knows it."""
        from pacsnode.dicom.extra import attribute  # its dictionaries take 0.1 s to import

        return attribute(self.tag, Level[self.level.name] if self.level else None, self.vr)


class IndexSection(Section):
    """The index that answers queries."""

    path: Path = Path("index")
    """Folder of the index, on a local disk; relative to node.data_dir."""
    extra_tags: Annotated[tuple[ExtraTag, ...], BeforeValidator(listed)] = ()
    """Further attributes that can be asked for, a list of keywords, tags, or tables with tag, level and vr."""
    max_find_results: Annotated[WholeNumber, Field(ge=0)] = 0
    """Matches above which a C-FIND is refused with 0xA700; 0 is no limit."""
    max_find_time: Annotated[Duration, Field(ge=0, le=86_400)] = 0.0
    """Time that the search of a C-FIND may take before it ends with 0xA700, up to "24h"; 0 is no limit."""
    match_case: bool = True
    """Whether upper and lower case are different in texts that a C-FIND asks for, true or false; never in names."""

    @field_validator("extra_tags")
    @classmethod
    def _are_distinct(cls, value: tuple[ExtraTag, ...]) -> tuple[ExtraTag, ...]:
        if len(value) > MAX_EXTRA_TAGS:
            raise ValueError(f"expected up to {MAX_EXTRA_TAGS} attributes, not {len(value)}")
        seen: set[str] = set()
        for at, keyword in enumerate(one.attribute().keyword for one in value):
            if keyword in seen:
                raise PlacedError(f"{keyword} is there twice; each has one level", "index", "extra_tags", at)
            seen.add(keyword)
        return value

    def extra(self) -> tuple[Attribute, ...]:
        """Return the further attributes as the index knows them."""
        return tuple(one.attribute() for one in self.extra_tags)
