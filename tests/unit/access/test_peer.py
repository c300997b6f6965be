import pytest

from pacsnode.access.peer import ALL_SERVICES, Peer, Service, comparable_ae_title, is_ae_title


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CT1", "CT1"),
        ("CT1             ", "CT1"),
        ("  CT1", "CT1"),
        ("CT1\0\0\0", "CT1"),
        ("CT1 \0 \0", "CT1"),
        ("CT 1", "CT 1"),
        ("\0\0", ""),
    ],
)
def test_padding_around_an_ae_title_is_not_significant(text: str, expected: str) -> None:
    assert comparable_ae_title(text) == expected


@pytest.mark.parametrize("text", ["A", "CT 1", "A" * 16, "x-y_z.1", "@"])
def test_ae_titles(text: str) -> None:
    assert is_ae_title(text)


@pytest.mark.parametrize("text", ["", "   ", "A" * 17, "A\\B", "A\nB", "A\0B", "RÖNTGEN"])
def test_what_is_no_ae_title(text: str) -> None:
    assert not is_ae_title(text)
    with pytest.raises(ValueError, match="not an AE title"):
        Peer("x", text)


def test_a_peer_may_do_everything_unless_told_otherwise() -> None:
    assert Peer("ct", "CT1").allow == ALL_SERVICES == frozenset(Service)


def test_a_peer_without_a_host_is_no_destination() -> None:
    assert not Peer("ct", "CT1").is_destination
    assert Peer("ct", "CT1", "10.0.0.1").is_destination
