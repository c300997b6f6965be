"""What a worker does: associations, answered from an archive."""

import logging
import socket
from collections.abc import Callable

import pydicom.config

from pacsnode.archive.find import Find
from pacsnode.archive.retrieve import Retrieve
from pacsnode.assembly.archive import Archive
from pacsnode.config import Config
from pacsnode.dimse.admission import Limits
from pacsnode.dimse.association.conversation import Timeouts
from pacsnode.dimse.association.requestor import Caller
from pacsnode.dimse.query_scp import QuerySCP
from pacsnode.dimse.retrieve_scp import GetSCP, MoveSCP
from pacsnode.dimse.server import DimseServer, Rules, SCPs, ServerSettings
from pacsnode.dimse.storage_scp import StorageSCP
from pacsnode.dimse.verification_scp import VerificationSCP
from pacsnode.observe import Observer
from pacsnode.turns import Turns

STOP_SECONDS = 20.0


class Service:
    """The listening side of a node. `start` once, `stop` once."""

    def __init__(
        self, config: Config, archive: Archive, observer: Observer, *, stored: Callable[[], None]
    ) -> None:
        """`stored` is rung on any thread when something waits in the spool; it must not block."""
        _silence_libraries()
        rules = rules_of(config)
        scps = _scps(config, archive, observer, stored)
        self._server = DimseServer(rules.settings, rules.policy, scps, observer)

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        return self._server.port

    def start(self, listening: socket.socket | None = None, turns: Turns | None = None) -> None:
        """Accept on a socket that listens, else make one; raises `OSError` if the address cannot be had."""
        self._server.start(listening, turns)

    def adopt(self, config: Config) -> None:
        """Follow another configuration for associations that are accepted from now on, as far as it can change."""
        self._server.adopt(rules_of(config))

    def is_accepting(self) -> bool:
        """Return whether connections have been looked after since this was asked last."""
        return self._server.is_accepting()

    def stop(self) -> None:
        """Stop accepting at once, and let what is under way finish within 20 s."""
        self._server.stop(STOP_SECONDS)


def rules_of(config: Config) -> Rules:
    """Return the rules of associations that a configuration says."""
    dicom = config.dicom
    settings = ServerSettings(
        ae_title=dicom.ae_title,
        ae_title_aliases=dicom.ae_title_aliases,
        host=dicom.host,
        port=dicom.port,
        limits=Limits(
            associations=dicom.max_associations,
            per_ip=config.limits.per_ip,
            per_ae=config.limits.per_ae,
            pre_association=config.limits.pre_association,
        ),
        max_pdu_bytes=dicom.max_pdu,
        timeouts=Timeouts(dicom.acse_timeout, dicom.dimse_timeout, dicom.network_timeout),
        check_called_ae=dicom.check_called_ae,
        private_sop_classes=dicom.private_sop_classes,
    )
    return Rules(settings, config.policy())


def _scps(config: Config, archive: Archive, observer: Observer, stored: Callable[[], None]) -> SCPs:
    dicom, policy = config.dicom, config.policy()
    retrieve = Retrieve(archive.index, archive.objects)
    caller = Caller(dicom.ae_title, dicom.max_pdu, dicom.acse_timeout, dicom.dimse_timeout)
    find = Find(archive.index, max_results=config.index.max_find_results)
    return SCPs(
        verification=VerificationSCP(observer),
        storage=StorageSCP(archive.store(config, stored=stored), observer),
        query=QuerySCP(find, policy, observer, ae_title=dicom.ae_title),
        get=GetSCP(retrieve, observer),
        move=MoveSCP(retrieve, policy, caller, observer),
    )


def _silence_libraries() -> None:
    """Keep pydicom and pynetdicom from warning of and logging what peers send: it is said once, by our own log.

    Both write peers' values as they are, control characters and patient data included. Their settings exist once
    in a process, so this is for the process.
    """
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for library in ("pydicom", "pynetdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
