"""The cache is looked at now and then, and less often where that takes long."""

from pacsnode.jobs.trimming import Trimming


def test_it_trims_when_it_is_time_to() -> None:
    clock, asked = [100.0], list[float]()

    def trim() -> int:
        asked.append(clock[0])
        clock[0] += 2.0
        return 0

    job = Trimming(trim, now=lambda: clock[0])
    assert job.step() == 40.0, "twenty times as long as it took"
    clock[0] += 10.0
    assert job.step() == 30.0
    assert asked == [100.0]
    clock[0] += 30.0
    job.step()
    assert asked == [100.0, 142.0]


def test_a_quick_look_comes_every_five_seconds() -> None:
    assert Trimming(lambda: 0, now=lambda: 1.0).step() == 5.0
