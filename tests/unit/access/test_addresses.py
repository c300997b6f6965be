"""From where a peer may call: what is an address, a network, a name, and what is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacsnode.access.addresses import Sources, ip_address, is_host, is_host_name, network, plain

ADDRESSES = frozenset({ip_address("192.0.2.7"), ip_address("2001:db8::7")})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::FFFF:0a00:0001", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_has_one_form(text: str, expected: str) -> None:
    assert plain(text) == str(ip_address(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1/32"),
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("10.0.0.0/255.255.255.0", "10.0.0.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("fd00::/8", "fd00::/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.0.0.1", "10.0.0.1/32"),
    ],
)
def test_networks(text: str, expected: str) -> None:
    assert str(network(text)) == expected


@pytest.mark.parametrize(
    "text", ["scanner", "ct-1.radiology.example.org", "a.b.", "CT_1", "1ct", "localhost", "xn--rntgen-wxa.de"]
)
def test_names(text: str) -> None:
    assert network(text) is None
    assert is_host_name(text)
    assert is_host(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "10.0.0.5/24",
            r"host bits set: the network is \"10\.0\.0\.0/24\"; the one address is \"10\.0\.0\.5\"",
        ),
        ("fd00::1/64", r"host bits set: the network is \"fd00::/64\""),
        ("10.0.0.0/33", "is no network"),
        ("scanner/24", "is no network"),
        ("/", "is no network"),
        ("10.0.0.256", "is no address"),
        ("10.1", "is no address"),
        ("0x7f.1", "is no address"),
        ("0x7f000001", "is no address"),
        ("2130706433", "is no address"),
        ("010.0.0.1", "is no address"),
        ("[::1]", "is no address"),
        ("::1::", "is no address"),
        ("", "is no address"),
        ("-a", "is no address"),
        ("a b", "is no address"),
        ("a\n", "is no address"),
        ("*", "is no address"),
        ("röntgen", "is no address"),
        ("a" * 64, "is no address"),
        (("a" * 63 + ".") * 4 + "a", "is no address"),
    ],
)
def test_what_is_neither(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(text)
    assert not is_host_name(text)


@pytest.mark.parametrize(
    ("sources", "address", "expected"),
    [
        (["10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.1"], "::ffff:10.0.0.1", True),
        (["::ffff:10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.1"], "10.0.0.2", False),
        (["10.0.0.0/24"], "10.0.0.255", True),
        (["10.0.0.0/24"], "10.0.1.0", False),
        (["10.0.0.0/24", "10.0.1.0/24"], "10.0.1.0", True),
        (["fd00::/8"], "fd12::1", True),
        (["fd00::/8"], "10.0.0.1", False),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["0.0.0.0/0"], "::1", False),
        (["::/0"], "10.0.0.1", False),
        (["0.0.0.0/0", "::/0"], "10.0.0.1", True),
        (["scanner"], "192.0.2.7", True),
        (["SCANNER"], "2001:db8::7", True),
        (["scanner"], "::ffff:192.0.2.7", True),
        (["scanner"], "192.0.2.8", False),
        (["unknown"], "192.0.2.7", False),
        ([], "10.0.0.1", False),
        (["0.0.0.0/0"], "", False),
        (["0.0.0.0/0"], "scanner", False),
    ],
)
def test_who_is_within(sources: list[str], address: str, expected: bool) -> None:
    assert Sources.parse(sources).allow(address, {"scanner": ADDRESSES, "other": frozenset()}) is expected


def test_sources_are_told_as_people_write_them() -> None:
    assert str(Sources.parse(["10.0.0.1", "Scanner", "fd00::/8"])) == "10.0.0.1, fd00::/8, scanner"


@given(st.text() | st.text("0123456789.:/afx-", max_size=20))
def test_any_text_is_something_or_a_value_error(text: str) -> None:
    try:
        sources = Sources.parse([text])
    except ValueError:
        return
    assert len(sources.networks) + len(sources.names) == 1


@given(st.ip_addresses(v=4))
def test_an_address_over_ipv6_is_the_same_caller(address: object) -> None:
    assert Sources.parse([str(address)]).allow(f"::ffff:{address}", {})
    assert Sources.parse([f"::ffff:{address}"]).allow(str(address), {})
