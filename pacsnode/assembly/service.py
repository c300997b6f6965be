"""What a worker does: associations, answered from an archive."""

import logging
import socket
from collections.abc import Callable

import pydicom.config

from pacsnode.accepting import Turns
from pacsnode.archive.find import Find
from pacsnode.archive.retrieve import Retrieve
from pacsnode.archive.transcoders import Transcoders
from pacsnode.assembly import converting
from pacsnode.assembly.archive import Holdings
from pacsnode.config import Config
from pacsnode.dimse.admission import Admission, Limits
from pacsnode.dimse.query_scp import QuerySCP
from pacsnode.dimse.retrieve_scp import GetSCP, MoveSCP
from pacsnode.dimse.rules import Rules, Timeouts
from pacsnode.dimse.server import DimseServer, SCPs
from pacsnode.dimse.storage_scp import StorageSCP
from pacsnode.dimse.verification_scp import VerificationSCP
from pacsnode.observe import Observer

STOP_SECONDS = 20.0


class Service:
    """The listening side of a node. `start` once, `stop` once."""

    def __init__(
        self,
        holdings: Holdings,
        observer: Observer,
        *,
        stored: Callable[[], None],
        admission: Admission | None = None,
        number: int = 0,
    ) -> None:
        """`stored` is rung on any thread when something waits in the spool; it must not block.

        `admission` may count for several processes; `number` is that of the configuration's snapshot.
        """
        _silence_libraries()
        config = holdings.config
        self._transcoders = converting.of_a_worker(config)
        self._cache = holdings.archive.cache
        self._server = DimseServer(
            rules_of(config, number),
            _scps(holdings, observer, stored, self._transcoders),
            observer,
            host=config.dicom.host,
            port=config.dicom.port,
            admission=admission,
        )

    @property
    def port(self) -> int:
        """The TCP port that is listened on."""
        return self._server.port

    def start(self, listening: socket.socket | None = None, turns: Turns | None = None) -> None:
        """Accept on a socket that listens, else make one; raises `OSError` if the address cannot be had."""
        self._server.start(listening, turns)

    def adopt(self, config: Config, number: int) -> None:
        """Accept associations by another configuration, the snapshot of that number, from now on."""
        self._server.adopt(rules_of(config, number))

    def is_accepting(self) -> bool:
        """Return whether connections have been looked after since this was asked last."""
        return self._server.is_accepting()

    def report(self) -> dict[str, object]:
        """Return what `status` shows of the conversions, and of what is read of a storage that is far away."""
        reads = {} if self._cache is None else {"reads": self._cache.counts()}
        return {"transcode": self._transcoders.report(), **reads}

    def stop(self) -> None:
        """Stop accepting at once, and let what is under way finish within 20 s."""
        self._server.stop(STOP_SECONDS)
        self._transcoders.close()


def rules_of(config: Config, number: int = 0) -> Rules:
    """Return the rules of the associations by a configuration, the snapshot of that number."""
    dicom, limits = config.dicom, config.limits
    return Rules(
        policy=config.policy(),
        limits=Limits(
            associations=dicom.max_associations,
            per_ip=limits.per_ip,
            per_ae=limits.per_ae,
            pre_association=limits.pre_association,
        ),
        timeouts=Timeouts(dicom.acse_timeout, dicom.dimse_timeout, dicom.network_timeout),
        max_pdu_bytes=dicom.max_pdu,
        private_sop_classes=dicom.private_sop_classes,
        max_data_set_bytes=limits.max_dataset,
        duplicates=config.storage.duplicates,
        duplicates_of=config.duplicates_of(),
        stalled_seconds=config.retrieve.stall_timeout,
        number=number,
    )


def _scps(
    holdings: Holdings, observer: Observer, stored: Callable[[], None], transcoders: Transcoders
) -> SCPs:
    answering = holdings.state.answering(holdings.archive.index)
    read_ahead = holdings.config.retrieve.read_ahead
    retrieve = Retrieve(
        answering,
        holdings.archive.objects,
        read_ahead_bytes=read_ahead,
        convert=transcoders.convert,
        fetch_threads=holdings.config.storage.gcs.threads,
    )
    limits = holdings.config.index
    find = Find(answering, max_results=limits.max_find_results, max_seconds=limits.max_find_time)
    return SCPs(
        verification=VerificationSCP(observer),
        storage=StorageSCP(holdings.store(stored=stored), observer),
        query=QuerySCP(
            find, observer, catalogue=holdings.archive.index.catalogue, match_case=limits.match_case
        ),
        get=GetSCP(retrieve, observer),
        move=MoveSCP(retrieve, observer),
    )


def _silence_libraries() -> None:
    """Keep pydicom and pynetdicom from warning of and logging what peers send: it is said once, by our own log.

    Both write peers' values as they are, control characters and patient data included. Their settings exist once
    in a process, so this is for the process.
    """
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for library in ("pydicom", "pynetdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
