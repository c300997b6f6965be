import json

import pytest

from pacsnode.cli.manual import topics


def test_topics_are_listed(run) -> None:
    result = run("manual")
    assert result.exit_code == 0
    for topic in ("commands", "configuration", "statuses", "storage"):
        assert topic in result.output


@pytest.mark.parametrize("topic", topics())
def test_each_topic_can_be_read(run, topic: str) -> None:
    text = run("manual", topic).output
    assert text.startswith("# ")
    assert json.loads(run("manual", topic, "--json").output)["result"]["text"] in text


def test_a_topic_that_does_not_exist(run) -> None:
    result = run("manual", "nonsense")
    assert result.exit_code == 2
    assert "storage" in result.output


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_completion(run, shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # click asks the installed bash for its version, which need not be there.
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda *_: None)
    assert "_PACSNODE_COMPLETE" in run("completion", shell).output
