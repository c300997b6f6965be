"""What the index is searched by beside the plain columns: version 3 of the schema.

- `study.moment` is what studies are ordered by and found by date: date and time as one text. A study without a date
  has the order of its arrival there, and that comes before every date. It is a generated column: it takes no
  place but that of its index, and nobody has to keep it.
- Patient ID and Accession Number are indexed without regard to the case of A to Z (COLLATE NOCASE).
"""

from pacsnode.database import Migration

_DATE = "[0-9]" * 8
_CHANGES = (
    f"""ALTER TABLE study ADD COLUMN moment TEXT GENERATED ALWAYS AS (
        CASE WHEN study_date GLOB '{_DATE}' THEN study_date || coalesce(study_time, '')
        ELSE printf('!%019d', id) END) VIRTUAL""",
    "DROP INDEX study_by_date",
    "CREATE INDEX study_by_moment ON study (moment)",
    "DROP INDEX patient_by_patient_id",
    "CREATE INDEX patient_by_patient_id ON patient (patient_id COLLATE NOCASE)",
    "DROP INDEX study_by_accession_number",
    "CREATE INDEX study_by_accession_number ON study (accession_number COLLATE NOCASE)",
)

MIGRATION = Migration(3, _CHANGES)
