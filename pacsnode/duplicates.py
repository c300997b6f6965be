"""What becomes of a known SOP Instance UID that arrives with other content."""

from enum import Enum


class DuplicatePolicy(Enum):
    """What to do when a SOP Instance UID arrives again with other content (`storage.duplicates`)."""

    KEEP_BOTH = "keep-both"  # the first is served, the further one kept as a version
    REPLACE = "replace"  # the further one is served, the earlier ones kept as versions
    KEEP_FIRST = "keep-first"  # the further one is refused
    REFUSE = "refuse"  # another word for it
