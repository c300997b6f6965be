"""What a running node can take over from a changed configuration, and what has to wait for a restart."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from pydantic import BaseModel

from pacsnode.config import Config


class TakenOver(Enum):
    """When a key that has changed counts."""

    NEXT_ASSOCIATION = "for associations that are accepted from then on"
    AT_ONCE = "at once"
    RESTART = "by a restart"


_NEXT, _AT_ONCE, _RESTART = TakenOver.NEXT_ASSOCIATION, TakenOver.AT_ONCE, TakenOver.RESTART

# Every key there is; tables that may come several times as a whole.
KEYS: Mapping[str, TakenOver] = MappingProxyType(
    {
        "node.name": _AT_ONCE,
        "node.data_dir": _RESTART,
        "dicom.ae_title": _NEXT,
        "dicom.ae_title_aliases": _NEXT,
        "dicom.host": _RESTART,
        "dicom.port": _RESTART,
        "dicom.workers": _RESTART,
        "dicom.max_associations": _NEXT,
        "dicom.max_pdu": _NEXT,
        "dicom.acse_timeout": _NEXT,
        "dicom.dimse_timeout": _NEXT,
        "dicom.network_timeout": _NEXT,
        "dicom.check_called_ae": _NEXT,
        "dicom.private_sop_classes": _NEXT,
        "dicom.tls": _NEXT,
        "limits.max_dataset": _NEXT,
        "limits.per_ip": _NEXT,
        "limits.per_ae": _NEXT,
        "limits.pre_association": _AT_ONCE,
        "access.unknown_peers": _NEXT,
        "access.check_peer_host": _NEXT,
        "ae_titles": _NEXT,
        "peers": _NEXT,
        "storage.url": _RESTART,
        "storage.duplicates": _NEXT,
        "storage.gcs": _RESTART,
        "spool.path": _RESTART,
        "spool.min_free": _RESTART,
        "spool.max_bytes": _RESTART,
        "index.path": _RESTART,
        "index.extra_tags": _RESTART,
        "index.max_find_results": _RESTART,
        "index.max_find_time": _RESTART,
        "index.match_case": _RESTART,
        "cache.path": _RESTART,
        "cache.max_bytes": _RESTART,
        "retrieve.read_ahead": _RESTART,
        "retrieve.stall_timeout": _NEXT,
        "transcode.processes": _RESTART,
        "transcode.max_memory": _RESTART,
        "transcode.timeout": _RESTART,
        "logging.level": _AT_ONCE,
        "logging.format": _AT_ONCE,
        "logging.patient_data": _AT_ONCE,
    }
)


def merged(running: Config, wanted: Config) -> tuple[Config, tuple[str, ...]]:
    """Return what can be in force now, and the keys whose new values have to wait for a restart."""
    sections: dict[str, object] = {}
    waiting: list[str] = []
    for name in Config.model_fields:
        old, new = getattr(running, name), getattr(wanted, name)
        if isinstance(new, BaseModel):
            late = [key for key in type(new).model_fields if KEYS[f"{name}.{key}"] is _RESTART]
            waiting += [f"{name}.{key}" for key in late if getattr(old, key) != getattr(new, key)]
            new = new.model_copy(update={key: getattr(old, key) for key in late})
        sections[name] = new
    return wanted.model_copy(update=sections), tuple(waiting)
