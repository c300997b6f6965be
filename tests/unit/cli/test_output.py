import json

import pytest

from pacsnode.cli.output import Output, counted, printable, status_text


def test_items_and_result_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    with output.table("match", ["A", "B"]) as table:
        table.row(["1", "ö"], {"A": "1", "B": "ö"})
    output.item("file", {"path": "x"}, "not printed")
    output.result({"matches": 1}, "not printed")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"match": {"A": "1", "B": "ö"}},
        {"file": {"path": "x"}},
        {"result": {"matches": 1}},
    ]


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(as_json=False).table("match", ["Name", "ID"]) as table:
        table.row(["DOE^JOHN", "1"], {})
        table.row(["X", "22"], {})
    assert capsys.readouterr().out.splitlines() == ["Name      ID", "DOE^JOHN  1", "X         22"]


def test_a_table_without_rows_has_no_heading(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(as_json=False).table("match", ["Name", "ID"]):
        pass
    assert capsys.readouterr().out == ""


def test_rows_are_printed_before_the_table_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(as_json=False).table("match", ["N"]) as table:
        for number in range(100):
            table.row([str(number)], {})
        assert len(capsys.readouterr().out.splitlines()) == 101
        table.row(["wider than before"], {})
        assert capsys.readouterr().out == "wider than before\n"


def test_one_long_value_does_not_widen_the_column_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(as_json=False).table("match", ["A", "B"]) as table:
        table.row(["x" * 100, "1"], {})
        table.row(["y", "2"], {})
    assert capsys.readouterr().out.splitlines()[2] == "y" + " " * 41 + "2"


def test_a_peer_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\x1b[2Jb\r\n\x9b") == "a\ufffd[2Jb\ufffd\ufffd\ufffd"
    with Output(as_json=False).table("match", ["A"]) as table:
        table.row(["\x1b]0;title\x07"], {})
    assert "\x1b" not in capsys.readouterr().out


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(as_json=False).progress("sending", 3) as progress:
        progress.update(1)
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Output(as_json=False).progress("sending", 2) as progress:
        progress.update(1)
    text = capsys.readouterr().err
    assert "sending [###############...............] 1 of 2" in text
    assert text.endswith("\r\x1b[K")
    with Output(as_json=True).progress("sending", 2) as progress:
        progress.update(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "file", "1 file"), (0, "file", "0 files"), (2, "study", "2 studies"), (1, "study", "1 study"),
     (3, "series", "3 series"), (2, "key", "2 keys"), (1234567, "instance", "1,234,567 instances")],
)  # fmt: skip
def test_counts(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


def test_statuses_are_written_as_in_the_standard() -> None:
    assert status_text(0xA700) == "0xA700"
    assert status_text(0) == "0x0000"
