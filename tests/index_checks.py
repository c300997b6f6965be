"""What must hold in any index: the kept counts and lists are those of the rows, no UID is served twice."""

import sqlite3

from pacsnode.index.sqlite import SqliteIndex

_TABLES = (
    "patient",
    "patient_name_part",
    "study",
    "series",
    "instance",
    "spooled",
    "sop_class",
    "transfer_syntax",
    "sender",
    "character_set",
)

_WRONG = {
    "series counts": """SELECT id FROM series WHERE number_of_series_related_instances <>
        (SELECT count(*) FROM instance WHERE series = series.id AND is_served)""",
    "study counts": """SELECT id FROM study WHERE number_of_study_related_instances <>
        (SELECT count(*) FROM series JOIN instance ON instance.series = series.id
         WHERE series.study = study.id AND is_served)
        OR number_of_study_related_series <>
        (SELECT count(*) FROM series WHERE study = study.id AND number_of_series_related_instances > 0)""",
    "patient counts": """SELECT id FROM patient WHERE number_of_patient_related_instances <>
        (SELECT coalesce(sum(number_of_study_related_instances), 0) FROM study WHERE patient = patient.id)
        OR number_of_patient_related_series <>
        (SELECT coalesce(sum(number_of_study_related_series), 0) FROM study WHERE patient = patient.id)
        OR number_of_patient_related_studies <>
        (SELECT count(*) FROM study WHERE patient = patient.id AND number_of_study_related_instances > 0)""",
    "SOP classes": """SELECT id FROM study WHERE coalesce(sop_classes_in_study, '') <> coalesce(
        (SELECT group_concat(uid, '\\') FROM (SELECT DISTINCT uid FROM series
         JOIN instance ON instance.series = series.id JOIN sop_class ON sop_class.id = instance.sop_class
         WHERE series.study = study.id AND is_served ORDER BY uid)), '')""",
    "modalities": """SELECT id FROM study WHERE coalesce(modalities_in_study, '') <> coalesce(
        (SELECT group_concat(modality, '\\') FROM (SELECT DISTINCT modality FROM series
         WHERE series.study = study.id AND number_of_series_related_instances > 0 AND modality IS NOT NULL
         ORDER BY modality)), '')""",
    "served twice": "SELECT sop_instance_uid FROM instance WHERE is_served GROUP BY 1 HAVING count(*) > 1",
    "never served": "SELECT sop_instance_uid FROM instance GROUP BY 1 HAVING sum(is_served) <> 1",
    "versions": "SELECT sop_instance_uid FROM instance GROUP BY 1 HAVING count(*) <> max(version) + 1",
    "orphans": """SELECT id FROM instance WHERE series NOT IN (SELECT id FROM series)
        UNION ALL SELECT id FROM series WHERE study NOT IN (SELECT id FROM study)
        UNION ALL SELECT id FROM study WHERE patient NOT IN (SELECT id FROM patient)
        UNION ALL SELECT token FROM spooled WHERE instance NOT IN (SELECT id FROM instance)""",
}


def inconsistencies(index: SqliteIndex) -> dict[str, list[object]]:
    """Return what is wrong with the rows, by kind; empty if all is well."""
    with index._database.readers.connection() as connection:
        found = {name: connection.execute(statement).fetchall() for name, statement in _WRONG.items()}
    return {name: rows for name, rows in found.items() if rows}


def emptied(index: SqliteIndex) -> None:
    """Remove all rows, which is quicker than a new file for each example."""

    def empty(connection: sqlite3.Connection) -> None:
        for table in _TABLES:
            connection.execute(f"DELETE FROM {table}")
        index._additions.forget()

    index._database.write(empty)
