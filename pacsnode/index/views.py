"""The views of the index, for people who look into it by hand; no program reads them."""

from pacsnode.dicom.attributes import ATTRIBUTES, Level
from pacsnode.index.schema import TABLES, text, uid_text


def _texts(level: Level) -> str:
    return ", ".join(f'{text(a)} AS "{a.column}"' for a in ATTRIBUTES if a.level is level)


VIEWS = {
    "patients": f"""SELECT patient.id, {_texts(Level.PATIENT)}, extra FROM patient
        WHERE {TABLES[Level.PATIENT].visible}""",
    "studies": f"""SELECT study.id, patient.patient_id, patient.patient_name,
        datetime(last_received_at_ms / 1000, 'unixepoch') AS last_received, {_texts(Level.STUDY)}, study.extra
        FROM study JOIN patient ON patient.id = study.patient WHERE {TABLES[Level.STUDY].visible}""",
    "study_series": f"""SELECT series.id, {_texts(Level.SERIES)}, series.extra,
        {uid_text("study_instance_uid")} AS study_instance_uid
        FROM series JOIN study ON study.id = series.study WHERE {TABLES[Level.SERIES].visible}""",
    "instances": f"""SELECT instance.id, {_texts(Level.IMAGE)}, instance.extra, version, is_served,
        {uid_text("series_instance_uid")} AS series_instance_uid,
        {uid_text("study_instance_uid")} AS study_instance_uid,
        (SELECT ae_title FROM sender WHERE sender.id = instance.sender) AS sender,
        datetime(received_at_ms / 1000, 'unixepoch') AS received, file_length,
        printf('%08x', file_crc32c & 0xffffffff) AS file_crc32c,
        printf('%08x', data_set_crc32c & 0xffffffff) AS data_set_crc32c,
        (SELECT token FROM spooled WHERE spooled.instance = instance.id) AS spool_token
        FROM instance JOIN series ON series.id = instance.series JOIN study ON study.id = series.study""",
}
