"""The cloud shows its certificate, checks the broker's, and says what is wrong with either."""

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from cloud.kit import mqtt
from cloud.kit.clock import SystemClock
from cloud.kit.mqtt import BrokerLogin, BrokerTls, Inbox, MqttLink
from tests import certificates
from tests.certificates import Certificates, Signed
from tests.mosquitto import CLOUD, Mosquitto

PATIENCE_S = 20.0
TOPIC = "linli/1/00/a/up/alarm"
# Said by the broker after the handshake; where it closes before we have read that, only the end is seen.
REFUSED = "certificate required|unknown ca|reset by peer|Broken pipe"

Broker = Callable[[Signed], Mosquitto]
Linked = Callable[[int, BrokerTls | None], MqttLink]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def start(made: Certificates, tmp_path: Path) -> Iterator[Broker]:
    started: list[Mosquitto] = []

    def begin(server: Signed) -> Mosquitto:
        broker = Mosquitto(tmp_path / "broker", [], settings=certificates.listener(made, server))
        started.append(broker)
        broker.start()
        return broker

    yield begin
    for broker in started:
        broker.kill()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    log = CapturingLogger()
    monkeypatch.setattr(mqtt, "_log", log)
    return log


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def ready() -> threading.Event:
    return threading.Event()


@pytest.fixture
def linked(inbox: Inbox, ready: threading.Event) -> Iterator[Linked]:
    links: list[MqttLink] = []

    def begin(port: int, tls: BrokerTls | None) -> MqttLink:
        link = MqttLink(
            BrokerLogin("127.0.0.1", port, CLOUD, CLOUD, tls),
            client_id=f"tester-{len(links)}",
            subscriptions=[(TOPIC, 1)],
            inbox=inbox,
            clock=SystemClock(),
            on_connected=ready.set,
        )
        links.append(link)
        link.start()
        return link

    yield begin
    for link in links:
        link.stop()


def ours(made: Certificates) -> BrokerTls:
    return BrokerTls(made.ca, made.client.cert, made.client.key)


def until(is_so: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() < end, what
        pause.wait(0.02)


def reasons(log: CapturingLogger) -> list[str]:
    return [str(call.kwargs["reason"]) for call in list(log.calls) if "reason" in call.kwargs]


def test_messages_come_with_our_certificate(
    start: Broker, made: Certificates, linked: Linked, inbox: Inbox, ready: threading.Event
) -> None:
    link = linked(start(made.server).port, ours(made))
    assert ready.wait(PATIENCE_S), link.trouble
    # More than one TLS record of 16 KB, so that what is decrypted and waiting is fetched too.
    sizes = [1, 100_000, 2, 40_000, 3]
    for size in sizes:
        assert link.publish(TOPIC, b"x" * size, qos=1)
    found: list[int] = []

    def has_all() -> bool:
        found.extend(len(arrival.payload) for arrival in inbox.take_urgent(100))
        return len(found) >= len(sizes)

    until(has_all, "messages are missing")
    assert found == sizes
    assert not link.trouble


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("foreign_server", "CERTIFICATE_VERIFY_FAILED.*(self-signed|unable to get local issuer)"),
        ("misnamed_server", "CERTIFICATE_VERIFY_FAILED.*not valid for '127.0.0.1'"),
    ],
)
def test_a_broker_that_is_not_ours_is_refused_and_the_certificate_is_named(
    start: Broker, made: Certificates, linked: Linked, log: CapturingLogger, server: str, told: str
) -> None:
    link = linked(start(getattr(made, server)).port, ours(made))
    until(lambda: reasons(log), "nothing is told")
    assert re.search(told, reasons(log)[0]), reasons(log)
    assert re.search(told, link.trouble), link.trouble
    assert not link.is_connected


@pytest.mark.parametrize("has_foreign", [False, True])
def test_the_cloud_without_a_certificate_of_ours_is_refused_and_told(
    start: Broker, made: Certificates, linked: Linked, log: CapturingLogger, *, has_foreign: bool
) -> None:
    foreign = made.foreign_client
    pair = (foreign.cert, foreign.key) if has_foreign else (None, None)
    link = linked(start(made.server).port, BrokerTls(made.ca, *pair))
    until(lambda: any(re.search(REFUSED, reason) for reason in reasons(log)), "not told why")
    assert not link.is_connected


def test_a_broker_that_comes_back_with_a_wrong_certificate_is_told_anew_and_only_once(
    start: Broker,
    made: Certificates,
    linked: Linked,
    log: CapturingLogger,
    ready: threading.Event,
    tmp_path: Path,
) -> None:
    shown = Signed(tmp_path / "shown.pem", tmp_path / "shown.key")

    def show(server: Signed) -> None:
        shutil.copy(server.cert, shown.cert)
        shutil.copy(server.key, shown.key)

    show(made.server)
    broker = start(shown)
    link = linked(broker.port, ours(made))
    assert ready.wait(PATIENCE_S), link.trouble
    broker.kill()
    until(lambda: "refused" in link.trouble, "the absence is not told")
    show(made.foreign_server)
    broker.start()
    until(lambda: "CERTIFICATE_VERIFY_FAILED" in link.trouble, "the certificate is not told")
    broker.kill()
    until(lambda: "refused" in link.trouble, "the absence is not seen")
    show(made.server)
    ready.clear()
    broker.start()
    assert ready.wait(PATIENCE_S), link.trouble
    assert len(reasons(log)) == len(set(reasons(log)))
    assert not link.trouble
