"""What moves instances from the spool to the storage of a configuration."""

from collections.abc import Callable

from pacsnode.archive.objects import wanted_of
from pacsnode.assembly.archive import Holdings
from pacsnode.jobs.filing import WHOLE, Filing, Share


def filing_of(holdings: Holdings, stop: Callable[[], bool], *, number: int = 0, processes: int = 1) -> Filing:
    """Return the filing of one of so many processes. A bucket gets several at a time, with metadata."""
    config, archive = holdings.config, holdings.archive
    cache = archive.cache
    is_far = config.storage.bucket is not None
    return Filing(
        index=archive.index,
        spool=archive.spool,
        storage=archive.storage,
        custody=holdings.state.custody,
        stop=stop,
        share=Share(number, processes, config.storage.gcs.threads) if is_far else WHOLE,
        node=config.node.name if is_far else None,
        keep=None if cache is None else lambda located, source: cache.keep(wanted_of(located), source),
    )
