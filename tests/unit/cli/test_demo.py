import json

import pytest

from pacsnode.demo import tour


@pytest.mark.parametrize(("succeeded", "code"), [(True, 0), (False, 4)])
def test_the_exit_code_tells_whether_every_byte_came_back(
    run, monkeypatch: pytest.MonkeyPatch, succeeded: bool, code: int
) -> None:
    asked = {}

    def run_demo(say, *, exits: bool, keeps: bool) -> bool:
        asked.update(exits=exits, keeps=keeps)
        say("send", "Sent 56.", {"sent": 56})
        return succeeded

    monkeypatch.setattr(tour, "run_demo", run_demo)
    result = run("demo", "--exit")
    assert (result.exit_code, result.output) == (code, "Sent 56.\n")
    assert asked == {"exits": True, "keeps": False}
    lines = [json.loads(line) for line in run("demo", "--keep", "--json").output.splitlines()]
    assert lines == [
        {"step": {"step": "send", "text": "Sent 56.", "sent": 56}},
        {"result": {"succeeded": succeeded}},
    ]
    assert asked == {"exits": False, "keeps": True}
