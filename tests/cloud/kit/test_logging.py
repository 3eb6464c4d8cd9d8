import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from cloud.kit import logging as cloud_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_reaches_the_log(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    cloud_logging.configure("info", form)
    local_secret = "hunter2-in-a-local-variable"
    log = structlog.stdlib.get_logger("test")
    log.info("signed in", user_id="u1", password="hunter2", token="hunter2", Cookie="hunter2")
    try:
        int(local_secret[:0])
    except ValueError:
        log.exception("failed", secret=local_secret)
    written = capsys.readouterr().err
    assert "signed in" in written
    assert "u1" in written
    assert "Traceback" in written
    assert "hunter2" not in written.replace('local_secret = "hunter2', "")


def test_lines_are_json_in_containers(capsys: pytest.CaptureFixture[str]) -> None:
    cloud_logging.configure("warning", "json")
    structlog.stdlib.get_logger("test").info("not shown")
    structlog.stdlib.get_logger("test").warning("shown", device_id="烟感-1")
    logging.getLogger("a.library").warning("also %s", "shown")
    first, second = capsys.readouterr().err.splitlines()
    assert json.loads(first)["device_id"] == "烟感-1"
    assert json.loads(second)["event"] == "also shown"
    assert json.loads(first)["level"] == "warning"
