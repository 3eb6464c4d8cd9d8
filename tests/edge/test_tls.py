"""A node shows its certificate, checks the broker's, and says what is wrong with either."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.topics import Channel, topic
from edge import broker_link
from edge.broker_link import BrokerAddress, TlsFiles, Will, open_link
from edge.errors import LinkLostError
from tests import certificates
from tests.certificates import Certificates, Signed
from tests.mosquitto import CLOUD, Mosquitto

EDGE = "edge-1"
DOWN = topic(EDGE, Channel.ACK)
WILL = Will(topic(EDGE, Channel.STATE), b"gone")
# Said by the broker after the handshake; where it closes before we have read that, only the end is seen.
REFUSED = "certificate required|unknown ca|reset by peer|Broken pipe"

Start = Callable[[Signed], Mosquitto]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def start(made: Certificates, tmp_path: Path) -> Iterator[Start]:
    started: list[Mosquitto] = []

    def begin(server: Signed) -> Mosquitto:
        lines = certificates.listener(made, server)
        broker = Mosquitto(tmp_path / "broker", [EDGE], settings=lines)
        started.append(broker)
        broker.start()
        return broker

    yield begin
    for broker in started:
        broker.kill()


def address(broker: Mosquitto, tls: TlsFiles | None) -> BrokerAddress:
    return BrokerAddress("127.0.0.1", broker.port, EDGE, EDGE, EDGE, tls)


def ours(made: Certificates) -> TlsFiles:
    return TlsFiles(made.ca, made.client.cert, made.client.key)


def cloud_address(broker: Mosquitto, made: Certificates) -> BrokerAddress:
    return BrokerAddress("localhost", broker.port, "cloud", CLOUD, CLOUD, ours(made))


async def refusal(broker: Mosquitto, tls: TlsFiles | None) -> str:
    with pytest.raises(LinkLostError) as caught:
        async with open_link(address(broker, tls), WILL):
            pytest.fail("the connection was accepted")
    return str(caught.value)


async def test_messages_go_both_ways_with_our_certificate(start: Start, made: Certificates) -> None:
    broker = start(made.server)
    sizes = [1, 100_000, 2, 40_000, 3]
    async with (
        asyncio.timeout(30),
        open_link(address(broker, ours(made)), WILL) as link,
        open_link(cloud_address(broker, made), Will("linli/1/w", b"")) as cloud,
    ):
        await link.subscribe([DOWN])
        await link.publish(topic(EDGE, Channel.STATE), b"here", is_retained=True)
        for size in sizes:
            await cloud.publish(DOWN, b"x" * size)
        found: list[int] = []
        async for _, payload in link.messages():
            found.append(len(payload))
            if len(found) == len(sizes):
                break
    assert found == sizes


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("foreign_server", "CERTIFICATE_VERIFY_FAILED.*self-signed|unable to get local issuer"),
        ("misnamed_server", "CERTIFICATE_VERIFY_FAILED.*not valid for '127.0.0.1'"),
    ],
)
async def test_a_broker_that_is_not_ours_is_refused_and_the_certificate_is_named(
    start: Start, made: Certificates, server: str, told: str
) -> None:
    broker = start(getattr(made, server))
    text = await refusal(broker, ours(made))
    assert f"127.0.0.1:{broker.port}" in text
    assert re.search(told, text), text


@pytest.mark.parametrize("has_foreign", [False, True])
async def test_a_node_without_a_certificate_of_ours_is_refused_and_told(
    start: Start, made: Certificates, monkeypatch: pytest.MonkeyPatch, *, has_foreign: bool
) -> None:
    monkeypatch.setattr(broker_link, "CONNECT_S", 2.0)
    broker = start(made.server)
    foreign = made.foreign_client
    pair = (foreign.cert, foreign.key) if has_foreign else (None, None)
    text = await refusal(broker, TlsFiles(made.ca, *pair))
    assert re.search(REFUSED, text), text


async def test_a_node_without_tls_is_refused(
    start: Start, made: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_link, "CONNECT_S", 2.0)
    await refusal(start(made.server), None)


async def test_a_certificate_file_that_is_none_is_told(start: Start, made: Certificates) -> None:
    broker = start(made.server)
    assert "PEM" in await refusal(broker, TlsFiles(made.ca, made.client.key, made.client.key))
    assert "No such file" in await refusal(broker, TlsFiles(made.ca.parent / "nowhere.pem"))
