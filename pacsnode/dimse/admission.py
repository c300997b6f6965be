"""Who may take a place: limits per address, per AE title, before association and in all (RELIABILITY A7).

A count is taken when a connection or an association begins and given back when it ends; one caller's limit never
touches another's. Counting is the whole state, so that several workers can share it.
"""

import threading
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How many at the same time; 0 is no limit."""

    associations: int
    per_ip: int = 0
    per_ae: int = 0
    pre_association: int = 0


class Admission:
    """Counts associations. Any thread may call any method."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._associations = 0
        self._per_ip: Counter[str] = Counter()
        self._per_ae: Counter[str] = Counter()

    def take(self, ip: str, calling_ae_title: str) -> str | None:
        """Take a place for an association; None if it is taken, else the configuration key of the limit reached."""
        limits = self._limits
        with self._lock:
            if self._associations >= limits.associations:
                return "dicom.max_associations"
            if limits.per_ip and self._per_ip[ip] >= limits.per_ip:
                return "limits.per_ip"
            if limits.per_ae and self._per_ae[calling_ae_title] >= limits.per_ae:
                return "limits.per_ae"
            self._associations += 1
            self._per_ip[ip] += 1
            self._per_ae[calling_ae_title] += 1
        return None

    def give_back(self, ip: str, calling_ae_title: str) -> None:
        """Give back what `take` took."""
        with self._lock:
            self._associations -= 1
            for counter, key in ((self._per_ip, ip), (self._per_ae, calling_ae_title)):
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
