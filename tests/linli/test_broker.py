"""The broker of `linli up`: every user in, nobody else, and nobody beyond its own topics."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contract.topics import Channel, topic
from linli.up.broker import mosquitto_hash, prepare
from linli.up.home import CLOUD_USER
from tests.mosquitto import find

PASSWORDS = {
    CLOUD_USER: "cloud-word",
    "shuibei-edge-1": "edge-word",
    "shuibei-edge-2": "other-word",
}


def wait(claim: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not claim():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Client:
    """One MQTT user with what it received."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.answer: list[int] = []
        self.subscribed = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{user}-{id(self)}")
        self._client.username_pw_set(user, password)
        self._client.on_connect = lambda _c, _u, _f, code, _p: self.answer.append(
            0 if not code.is_failure else 1
        )
        self._client.on_message = lambda _c, _u, message: self.received.append(
            (message.topic, message.payload)
        )
        self._client.on_subscribe = lambda *_: setattr(self, "subscribed", self.subscribed + 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait(lambda: bool(self.answer), f"{user} gets no answer")

    def subscribe(self, name: str) -> None:
        before = self.subscribed
        self._client.subscribe(name, 1)
        wait(lambda: self.subscribed > before, "no SUBACK")

    def publish(self, name: str, payload: bytes) -> None:
        self._client.publish(name, payload, 1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    embedded = request.param == "amqtt"
    if not embedded:
        find("mosquitto")
    port = free_port()
    command = prepare(tmp_path / "broker", "127.0.0.1", port, PASSWORDS, embedded=embedded)
    with (tmp_path / "broker.log").open("w") as log:
        process = subprocess.Popen(command.argv, stdout=log, stderr=log)
        try:
            wait(lambda: listens(port), (tmp_path / "broker.log").read_text())
            yield port
        finally:
            process.terminate()
            process.wait(10)


def test_a_wrong_password_and_a_stranger_are_refused(broker: int) -> None:
    for user, word in (
        (CLOUD_USER, "wrong"),
        ("stranger", "cloud-word"),
        ("shuibei-edge-1", "other-word"),
    ):
        client = Client(broker, user, word)
        assert client.answer[0] == 1
        client.close()


def test_an_edge_writes_its_own_topics_and_no_others(broker: int) -> None:
    cloud = Client(broker, CLOUD_USER, PASSWORDS[CLOUD_USER])
    cloud.subscribe("linli/1/#")
    edge = Client(broker, "shuibei-edge-1", PASSWORDS["shuibei-edge-1"])
    edge.publish(topic("shuibei-edge-2", Channel.ALARM), b"forged")
    edge.publish(topic("shuibei-edge-1", Channel.ACK), b"forged")
    edge.publish(topic("shuibei-edge-1", Channel.ALARM), b"own")
    try:
        wait(
            lambda: any(body == b"own" for _, body in cloud.received),
            "the edge's own alarm did not arrive",
        )
        assert [body for _, body in cloud.received] == [b"own"]
    finally:
        edge.close()
        cloud.close()


def test_an_edge_reads_what_is_for_it_and_not_what_is_for_others(broker: int) -> None:
    cloud = Client(broker, CLOUD_USER, PASSWORDS[CLOUD_USER])
    edge = Client(broker, "shuibei-edge-1", PASSWORDS["shuibei-edge-1"])
    edge.subscribe(topic("shuibei-edge-2", Channel.COMMAND))
    edge.subscribe(topic("shuibei-edge-1", Channel.ACK))
    try:
        cloud.publish(topic("shuibei-edge-2", Channel.COMMAND), b"not yours")
        cloud.publish(topic("shuibei-edge-1", Channel.ACK), b"yours")
        wait(lambda: bool(edge.received), "the acknowledgement did not arrive")
        assert [body for _, body in edge.received] == [b"yours"]
    finally:
        edge.close()
        cloud.close()


def test_mosquitto_hash_is_what_its_own_tool_would_check(tmp_path: Path) -> None:
    tool = find("mosquitto_passwd")
    line = mosquitto_hash("word", b"twelve bytes")
    made = tmp_path / "passwd"
    subprocess.run([tool, "-c", "-b", str(made), "user", "word"], check=True, capture_output=True)
    theirs = made.read_text().strip().split(":")[1]
    assert [len(part) for part in theirs.split("$")] == [len(part) for part in line.split("$")]
    assert theirs.split("$")[:3] == line.split("$")[:3]


def test_files_for_a_broker_elsewhere_are_mosquittos_whatever_is_installed_here(
    tmp_path: Path,
) -> None:
    command = prepare(tmp_path, "0.0.0.0", 1883, PASSWORDS, mosquitto="mosquitto")
    assert command.argv == ["mosquitto", "-c", str(tmp_path / "mosquitto.conf")]
    assert {path.name for path in tmp_path.iterdir()} == {"acl", "passwd", "mosquitto.conf"}
