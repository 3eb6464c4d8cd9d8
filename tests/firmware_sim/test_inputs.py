from pathlib import Path

import pytest

from firmware_sim import inputs


def test_the_scenarios_of_the_project_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (inputs.scenario_folder() / "four-emergencies.yaml").is_file()


def test_an_installed_package_looks_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "__file__", str(tmp_path / "site-packages/firmware_sim/inputs.py"))
    assert inputs.config_folder() == Path("config")
