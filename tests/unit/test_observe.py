"""Events reach all observers, in order."""

from pacsnode.observe import Observers, Verified
from tests.factories import Heard


def test_each_observer_hears_each_event_in_order() -> None:
    order: list[str] = []
    first, second = Heard(), Heard()

    def telling(name: str, heard: Heard):
        def hear(event: object) -> None:
            order.append(name)
            heard(event)  # type: ignore[arg-type]

        return hear

    observers = Observers([telling("first", first), telling("second", second)])
    events = [Verified("a", "CT1", 0), Verified("b", "CT2", 0)]
    for event in events:
        observers(event)
    assert first.events == second.events == events
    assert order == ["first", "second"] * 2


def test_nobody_need_listen() -> None:
    Observers([])(Verified("a", "CT1", 0))
