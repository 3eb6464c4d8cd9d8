"""Where the hand-written inputs lie: beside the source tree, or in the folder from which the command runs."""

from pathlib import Path


def config_folder() -> Path:
    """Give the project's `config` folder; an installed package finds it in the working directory."""
    beside = Path(__file__).parents[1] / "config"
    return beside if (beside / "shuibei").is_dir() else Path("config")


def scenario_folder() -> Path:
    """Give the folder of the scenarios that come with the project."""
    return config_folder() / "shuibei" / "scenarios"
