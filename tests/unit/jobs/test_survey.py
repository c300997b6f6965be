"""Each part is looked at as often as is cheap, and one that fails holds no other up."""

from collections.abc import Mapping

import pytest

from pacsnode.errors import OutOfResources, PermanentError
from pacsnode.jobs.survey import Survey


class Monotonic:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Monotonic:
    return Monotonic()


class Part:
    """Counts how often it was looked at, and takes its time."""

    def __init__(self, clock: Monotonic, seconds: float = 0.0) -> None:
        self._clock = clock
        self._seconds = seconds
        self.looks = 0

    def __call__(self) -> Mapping[str, object]:
        self.looks += 1
        self._clock.seconds += self._seconds
        return {"looks": self.looks}


def test_nothing_is_known_before_the_first_look(clock: Monotonic) -> None:
    survey = Survey({"spool": Part(clock)}, now=clock)
    assert survey.report() == {}
    assert survey.step() == 10.0
    assert survey.report() == {"spool": {"looks": 1}}


def test_a_dear_part_is_looked_at_less_often_than_a_cheap_one(clock: Monotonic) -> None:
    cheap, dear = Part(clock), Part(clock, 0.5)
    survey = Survey({"dear": dear, "cheap": cheap}, now=clock)
    ends = clock.seconds + 100.0
    while clock.seconds < ends:
        clock.seconds += survey.step()
    assert (dear.looks, cheap.looks) == (2, 10)


def test_between_looks_a_step_costs_nothing(clock: Monotonic) -> None:
    part = Part(clock)
    survey = Survey({"spool": part}, now=clock)
    survey.step()
    clock.seconds += 4.0
    assert survey.step() == 6.0
    assert part.looks == 1


@pytest.mark.parametrize(
    "error", [OutOfResources("no space"), PermanentError("damaged"), OSError(5, "Input/output error")]
)
def test_what_fails_is_that_part_s_report_until_it_works_again(clock: Monotonic, error: Exception) -> None:
    failing = [True]

    def part() -> Mapping[str, object]:
        if failing:
            raise error
        return {"instances": 1}

    survey = Survey({"index": part, "spool": Part(clock)}, now=clock)
    survey.step()
    assert survey.report() == {"index": {"error": str(error)}, "spool": {"looks": 1}}
    failing.clear()
    clock.seconds += 10.0
    survey.step()
    assert survey.report()["index"] == {"instances": 1}


def test_nothing_to_look_at(clock: Monotonic) -> None:
    assert Survey({}, now=clock).step() > 0
