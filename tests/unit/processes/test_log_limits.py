"""The same line again and again: the first ones, then one a minute, and none is lost without a count."""

import logging

from hypothesis import given
from hypothesis import strategies as st

from pacsnode.processes.log_limits import FIRST_LINES, WINDOW_SECONDS, LineLimit


def record(
    message: str = "disk full: %s",
    *arguments: object,
    level: int = logging.WARNING,
    about: object = None,
    place: str = __file__,
    line: int = 1,
) -> logging.LogRecord:
    made = logging.LogRecord("pacsnode.x", level, place, line, message, arguments or (1,), None)
    if about is not None:
        made.__dict__["limit_by"] = about
    return made


def repeated(records: list[logging.LogRecord]) -> list[int]:
    return [one.__dict__["repeated"] for one in records]


def test_the_first_ones_are_written_whatever_they_hold() -> None:
    limit = LineLimit()
    admitted = [limit.admits(record("disk full: %s", number), 0.0) for number in range(100)]
    assert admitted == [True] * FIRST_LINES + [False] * 90


def test_a_summary_a_minute_tells_of_the_newest_and_of_how_many() -> None:
    limit = LineLimit()
    for number in range(100):
        limit.admits(record("disk full: %s", number), 0.0)
    assert limit.due(WINDOW_SECONDS - 0.1) == []
    (summary,) = limit.due(WINDOW_SECONDS)
    assert repeated([summary]) == [90]
    assert summary.getMessage() == "disk full: 99"


def test_while_it_goes_on_there_are_only_summaries() -> None:
    limit = LineLimit()
    for minute in range(5):
        for _ in range(100):
            limit.admits(record(), minute * WINDOW_SECONDS)
        assert repeated(limit.due((minute + 1) * WINDOW_SECONDS)) == [90 if minute == 0 else 100]


def test_after_a_quiet_minute_the_first_ones_are_written_again() -> None:
    limit = LineLimit()
    for _ in range(20):
        limit.admits(record(), 0.0)
    assert repeated(limit.due(60.0)) == [10]
    assert limit.due(120.0) == []
    assert limit.admits(record(), 120.0)


def test_a_few_lines_leave_nothing_behind() -> None:
    limit = LineLimit()
    assert limit.admits(record(), 0.0)
    assert limit.due(60.0) == []
    assert limit._seen == {}


def test_lines_of_other_calls_levels_and_subjects_are_not_the_same() -> None:
    limit = LineLimit()
    for _ in range(50):
        limit.admits(record(about="CT1"), 0.0)
    assert limit.admits(record(about="CT2"), 0.0)
    assert limit.admits(record(), 0.0)
    assert limit.admits(record(line=2), 0.0)
    assert limit.admits(record(level=logging.ERROR), 0.0)
    assert limit.admits(record(place="elsewhere.py"), 0.0)
    assert not limit.admits(record(about="CT1"), 0.0)


def test_what_there_is_one_of_for_each_association_is_not_limited() -> None:
    limit = LineLimit()
    assert all(limit.admits(record(level=logging.INFO), 0.0) for _ in range(1000))


def test_subjects_without_number_take_no_memory_and_crowd_out_no_other_call() -> None:
    limit = LineLimit()
    admitted = sum(limit.admits(record("refused: %s", about=number), 0.0) for number in range(10_000))
    assert admitted == 256 + FIRST_LINES
    assert len(limit._seen) == 257
    assert limit.admits(record("disk full: %s", about="CT1", line=2), 0.0)
    assert repeated(limit.due(60.0)) == [10_000 - admitted]


def test_at_the_end_nothing_is_kept_back() -> None:
    limit = LineLimit()
    for _ in range(15):
        limit.admits(record(), 1e6)
    assert repeated(limit.rest()) == [5]
    assert limit.rest() == []


def test_when_the_next_summary_is_due() -> None:
    limit = LineLimit(60.0)
    for _ in range(20):
        limit.admits(record(), 10.0)
    assert limit.seconds_until_due(30.0) == 40.0
    assert limit.seconds_until_due(100.0) == 0.0


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 3)), max_size=300))
def test_each_line_is_written_or_counted(steps: list[tuple[float, int]]) -> None:
    limit, now, written, counted = LineLimit(), 0.0, 0, 0
    for seconds, about in steps:
        now += seconds
        counted += sum(repeated(limit.due(now)))
        written += limit.admits(record(about=about), now)
    assert written + counted + sum(repeated(limit.rest())) == len(steps)
