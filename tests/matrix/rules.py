"""All cases of the matrix by the rule that they are about; the manual and the comparison name the same rules."""

from tests.matrix import levels, matching, names, negotiated, sequences
from tests.matrix.cases import Case

RULES: dict[str, tuple[Case, ...]] = {
    "universal matching": matching.UNIVERSAL,
    "single value matching": matching.SINGLE_VALUE,
    "list of UID matching": matching.LIST_OF_UID,
    "wild card matching": matching.WILD_CARD,
    "range matching of dates": matching.RANGE_DATE,
    "range matching of times": matching.RANGE_TIME,
    "sequence matching": sequences.SEQUENCES,
    "person names": names.NAMES,
    "character sets": names.CHARACTER_SETS,
    "levels and models": levels.LEVELS,
    "relational queries": levels.RELATIONAL,
    "Modalities in Study": levels.MODALITIES,
    "answers": levels.ANSWERS,
    "combined date-time matching": negotiated.COMBINED_DATE_TIME,
    "fuzzy matching of person names": negotiated.FUZZY_NAMES,
    "timezone adjustment": negotiated.TIMEZONE,
    "empty value matching": negotiated.EMPTY_VALUE,
    "multiple value matching": negotiated.MULTIPLE_VALUE,
    "what is refused": levels.REFUSED,
}
