"""What a query asks for, in the log at DEBUG: how each key was understood, and nobody's name.

With `logging.patient_data` the values stand there, too, on the logger that is for them.
"""

import logging

from pacsnode.association_log import escaped
from pacsnode.dicom.query import Query
from pacsnode.dicom.wording import in_words
from pacsnode.observe import PATIENT_DATA_LOGGER

log = logging.getLogger(__name__)
patients = logging.getLogger(PATIENT_DATA_LOGGER)


def log_query(operation: str, query: Query) -> None:
    """Tell how a query was understood, a line for each key."""
    with_values = patients.isEnabledFor(logging.DEBUG)
    logger = patients if with_values else log
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for attribute, meaning in in_words(query, with_values=with_values):
        about = f"{query.level.name} {attribute}".rstrip()
        logger.debug("%s %s: %s", operation, about, escaped(meaning))
