"""The door to amqtt, the embedded MQTT broker for machines without Mosquitto.

Enough for one small site (about 2,000 messages a second here). It keeps nothing on disk, and need not:
acknowledgement is end to end, so a broker may vanish at any moment.
"""

import asyncio
import logging
import signal
import warnings
from pathlib import Path

import msgspec
from amqtt.broker import Broker


class BrokerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the embedded broker is told; topics may end in `#`.

    `bind` is `host:port`; `password_file` has a line `user:argon2-hash` for each user; `publish` and `subscribe` give
    each user the topics it may write and read.
    """

    bind: str
    password_file: str
    publish: dict[str, list[str]]
    subscribe: dict[str, list[str]]
    connections: int = 200

    @classmethod
    def read(cls, path: Path) -> "BrokerPlan":
        """Read the plan from a JSON file."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def amqtt_config(self) -> dict[str, object]:
        """Give the same in amqtt's words."""
        return {
            "listeners": {
                "default": {"type": "tcp", "bind": self.bind, "max_connections": self.connections},
            },
            "plugins": {
                "amqtt.plugins.authentication.FileAuthPlugin": {
                    "password_file": self.password_file
                },
                "amqtt.plugins.topic_checking.TopicAccessControlListPlugin": {
                    "publish_acl": self.publish,
                    "acl": self.subscribe,
                },
            },
        }


def serve(plan: BrokerPlan) -> None:
    """Serve until SIGTERM or SIGINT."""
    # amqtt deprecates the option name its own Config class has; nothing else reads subscriptions' rights.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    logging.basicConfig(level=logging.WARNING)
    # Chatty at WARNING about every client that leaves, which is a normal event here.
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    logging.getLogger("transitions").setLevel(logging.ERROR)
    asyncio.run(_serve(plan))


async def _serve(plan: BrokerPlan) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = Broker(plan.amqtt_config())
    await broker.start()
    await stop.wait()
    try:
        async with asyncio.timeout(2):
            await broker.shutdown()
    except TimeoutError:
        # Its clients are told by the closed sockets; there is nothing on disk to save.
        return
