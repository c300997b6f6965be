"""From where a peer may call: IP addresses, networks and host names.

Pure: what a name resolves to is looked up elsewhere and handed in. An IPv4 address that comes over an IPv6 socket
(`::ffff:10.0.0.1`, RFC 4291 2.5.5.2) is the IPv4 address, in the configuration and from the network; a zone
(`fe80::1%eth0`) does not count.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EXPECTED = 'an IP address, a network such as "10.0.0.0/24", or a host name'

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)
_MAX_NAME_CHARACTERS = 253
# `10.0.0.256`, `10.1`, `0x7f.1`: what looks like an address and is none would be taken for one by some resolvers.
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?", re.ASCII)


def ip_address(text: str) -> IPAddress:
    """Return the address without a zone, IPv4 if it is one that is mapped; raises `ValueError`."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address


def plain(text: str) -> str:
    """Return the text of an address as a socket gives it, the IPv4 one if it is mapped."""
    return str(ip_address(text)) if ":" in text else text


def is_host_name(text: str) -> bool:
    """Return whether this can be a name to resolve (RFC 1123 2.1, and the underscores that are in use)."""
    return (
        len(text) <= _MAX_NAME_CHARACTERS
        and _NAME.fullmatch(text) is not None
        and _NUMERIC_END.fullmatch(text) is None
    )


def is_host(text: str) -> bool:
    """Return whether this is an address or a name."""
    try:
        ip_address(text)
    except ValueError:
        return is_host_name(text)
    return True


def network(text: str) -> Network | None:
    """Return the network, or the one address as a network; None for what can be a name; raises `ValueError`."""
    if "/" in text:
        return _network(text)
    try:
        return ipaddress.ip_network(ip_address(text))
    except ValueError:
        if is_host_name(text):
            return None
    raise ValueError(f"{text!r} is no address: expected {EXPECTED}")


def _network(text: str) -> Network:
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f'{text!r} is no network: expected one such as "10.0.0.0/24" or "fd00::/8"'
        ) from None
    address, _, _ = text.partition("/")
    if ipaddress.ip_address(address) != found.network_address:
        raise ValueError(
            f'{text!r} has host bits set: the network is "{found}"; the one address is "{address}"'
        )
    if isinstance(found, ipaddress.IPv6Network) and found.subnet_of(_MAPPED):
        mapped = found.network_address.ipv4_mapped
        assert mapped is not None
        return ipaddress.IPv4Network((mapped, found.prefixlen - _MAPPED.prefixlen))
    return found


@dataclass(frozen=True, slots=True)
class Sources:
    """From where a peer may call, by the key that says so. Without any it may call from nowhere."""

    networks: tuple[Network, ...] = ()
    names: tuple[str, ...] = ()
    key: str = "addresses"

    @classmethod
    def parse(cls, texts: Iterable[str], key: str = "addresses") -> Self:
        """Return the sources that a list of addresses, networks and names means; raises `ValueError`."""
        networks, names = list[Network](), list[str]()
        for text in texts:
            found = network(text)
            if found is None:
                names.append(text.lower())
            else:
                networks.append(found)
        return cls(tuple(networks), tuple(names), key)

    def __contains__(self, address: IPAddress) -> bool:
        """Whether an address is in one of the networks; names are not looked at."""
        return any(address in one for one in self.networks)

    def allow(self, address: str, resolved: Mapping[str, frozenset[IPAddress]]) -> bool:
        """Return whether a caller from the address is one of them; a name that is not in `resolved` is nobody's."""
        try:
            caller = ip_address(address)
        except ValueError:
            return False
        return caller in self or any(caller in resolved.get(name, frozenset()) for name in self.names)

    @property
    def texts(self) -> tuple[str, ...]:
        """The sources as people write them."""
        networks = (str(one.network_address if one.num_addresses == 1 else one) for one in self.networks)
        return (*networks, *self.names)

    def __str__(self) -> str:
        return ", ".join(self.texts)
