"""The schema as its first version made it. It never changes: what came after it is in `migrations`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

_TABLES = (
    """CREATE TABLE patient (
        id INTEGER PRIMARY KEY, character_set INTEGER NOT NULL, "patient_name", "patient_id",
        "issuer_of_patient_id", "patient_birth_date", "patient_birth_time", "patient_sex", "other_patient_ids",
        "other_patient_names", "ethnic_group", "patient_comments", "patient_name_folded",
        "other_patient_names_folded", "number_of_patient_related_studies" INTEGER NOT NULL DEFAULT 0,
        "number_of_patient_related_series" INTEGER NOT NULL DEFAULT 0,
        "number_of_patient_related_instances" INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE study (
        id INTEGER PRIMARY KEY, patient INTEGER NOT NULL REFERENCES patient, study_instance_uid BLOB NOT NULL,
        character_set INTEGER NOT NULL, last_received_at_ms INTEGER NOT NULL, as_sent TEXT,
        "study_date", "study_time", "accession_number", "referring_physician_name", "study_description",
        "name_of_physicians_reading_study", "admitting_diagnoses_description", "patient_age", "patient_size",
        "patient_weight", "occupation", "additional_patient_history", "study_id", "requesting_physician",
        "requested_procedure_description", "referring_physician_name_folded",
        "name_of_physicians_reading_study_folded", "requesting_physician_folded", "modalities_in_study",
        "sop_classes_in_study", "number_of_study_related_series" INTEGER NOT NULL DEFAULT 0,
        "number_of_study_related_instances" INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE series (
        id INTEGER PRIMARY KEY, study INTEGER NOT NULL REFERENCES study, series_instance_uid BLOB NOT NULL,
        character_set INTEGER NOT NULL, as_sent TEXT, "series_date", "series_time", "modality",
        "manufacturer", "institution_name", "station_name", "series_description",
        "institutional_department_name", "performing_physician_name", "operators_name",
        "manufacturer_model_name", "contrast_bolus_agent", "body_part_examined", "protocol_name",
        "series_number", "laterality", "performed_procedure_step_start_date",
        "performed_procedure_step_start_time", "performed_procedure_step_id",
        "performed_procedure_step_description", "performing_physician_name_folded", "operators_name_folded",
        "number_of_series_related_instances" INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE instance (
        id INTEGER PRIMARY KEY, series INTEGER NOT NULL REFERENCES series, sop_instance_uid BLOB NOT NULL,
        uid_hash INTEGER NOT NULL, version INTEGER NOT NULL, is_served INTEGER NOT NULL,
        sop_class INTEGER NOT NULL, transfer_syntax INTEGER NOT NULL, sender INTEGER NOT NULL,
        character_set INTEGER NOT NULL, received_at_ms INTEGER NOT NULL, file_length INTEGER NOT NULL,
        file_crc32c INTEGER NOT NULL, file_meta_length INTEGER NOT NULL, data_set_crc32c INTEGER NOT NULL,
        as_sent TEXT, "content_date", "content_time", "acquisition_number", "instance_number",
        "number_of_frames", "rows", "columns", "bits_allocated")""",
    "CREATE TABLE spooled (token INTEGER PRIMARY KEY, instance INTEGER NOT NULL REFERENCES instance)",
)
# Small tables of an id and a text that is there once.
_DICTIONARIES = {
    "sop_class": "uid",
    "transfer_syntax": "uid",
    "sender": "ae_title",
    "character_set": "name",
}
# Name, table, columns, and whether they are unique.
_INDEXES = (
    ("patient_by_patient_id", "patient", ("patient_id",), False),
    ("patient_by_name", "patient", ("patient_name_folded",), False),
    ("study_by_uid", "study", ("study_instance_uid",), True),
    ("study_by_patient", "study", ("patient",), False),
    ("study_by_date", "study", ("study_date",), False),
    ("study_by_accession_number", "study", ("accession_number",), False),
    ("series_by_uid", "series", ("series_instance_uid", "study"), True),
    ("series_by_study", "series", ("study",), False),
    ("instance_by_uid_hash", "instance", ("uid_hash",), False),
    ("instance_by_series", "instance", ("series",), False),
    ("spooled_by_instance", "spooled", ("instance",), True),
)
_PARTIAL_INDEX = "CREATE INDEX instance_hidden ON instance (id) WHERE NOT is_served"


def create(database: "sqlite_utils.Database") -> None:
    """Make the tables of version 1 in an empty file; its views are made anew by each version."""
    for statement in _TABLES:
        database.execute(statement)
    for table, column in _DICTIONARIES.items():
        database.table(table).create({"id": int, column: str}, pk="id", not_null={column})
        database.table(table).create_index([column], f"{table}_by_{column}", unique=True)
    for name, table, columns, unique in _INDEXES:
        database.table(table).create_index(columns, name, unique=unique)
    database.execute(_PARTIAL_INDEX)
