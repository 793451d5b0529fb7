"""Unit tests of the development cluster keep its folders to themselves."""

import pytest


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ECOSERVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ECOSERVE_STATE", str(tmp_path / "state"))
