"""What a running node takes over, key by key."""

from typing import Any

import pytest
from pydantic import BaseModel

from pacsnode.config import Config
from pacsnode.processes.reloading import KEYS, TakenOver, merged


def keys() -> set[str]:
    found = set[str]()
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found |= {f"{name}.{key}" for key in section.model_fields}
        else:
            found.add(name)
    return found


def config(**sections: Any) -> Config:
    return Config.model_validate({"node": {"data_dir": "/d"}} | sections)


def test_each_key_says_when_it_counts() -> None:
    assert set(KEYS) == keys()


def test_nothing_changed() -> None:
    assert merged(config(), config()) == (config(), ())


def test_what_can_be_taken_over_is() -> None:
    wanted = config(
        peers=[{"ae_title": "CT1"}], limits={"per_ip": 3}, logging={"level": "debug"}, dicom={"max_pdu": 8192}
    )
    assert merged(config(), wanted) == (wanted, ())


def test_what_needs_a_restart_waits_and_is_named() -> None:
    before = config(dicom={"port": 104})
    wanted = config(
        dicom={"port": 105, "acse_timeout": 3}, storage={"url": "memory:", "duplicates": "replace"}
    )
    now, waiting = merged(before, wanted)
    assert waiting == ("dicom.port", "storage.url")
    assert (now.dicom.port, now.dicom.acse_timeout) == (104, 3.0)
    assert (now.storage.url, now.storage.duplicates.value) == (before.storage.url, "replace")


@pytest.mark.parametrize("key", [key for key, when in KEYS.items() if when is TakenOver.RESTART])
def test_the_manual_names_what_needs_a_restart(key: str) -> None:
    from importlib import resources

    text = (resources.files("pacsnode") / "manual" / "operation.md").read_text(encoding="utf-8")
    assert key in " ".join(text.split("by a restart only:")[1].split("\n\n")[0].split())
