"""docs/asyncapi.yaml says what the code does: channels, directions, retention, every field of every message."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from contract import codec, messages
from contract.topics import ROOT, Channel

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "asyncapi.yaml").read_text(encoding="utf-8")
)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
STRUCTS = {
    name: kind
    for name, kind in vars(messages).items()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
}
_, TRUE_SCHEMAS = msgspec.json.schema_components(
    list(STRUCTS.values()), ref_template="#/components/schemas/{name}"
)
WITHOUT_PAYLOAD_OF_OURS = {Channel.WHITELIST}
RETAINED = {Channel.STATE, Channel.BIRTH, Channel.CONFIG}


def bare(schema: Any) -> Any:
    """Leave out what is only for readers."""
    if isinstance(schema, dict):
        skip = {"title", "description", "x-fields"}
        return {key: bare(value) for key, value in schema.items() if key not in skip}
    return [bare(item) for item in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_a_message_has_the_fields_that_the_document_names(name: str) -> None:
    assert bare(SCHEMAS[name]) == bare(TRUE_SCHEMAS[name])
    config = STRUCTS[name].__struct_config__
    assert SCHEMAS[name].get("x-fields") == (
        list(STRUCTS[name].__struct_fields__) if config.array_like else None
    )


def test_no_schema_is_left_over() -> None:
    assert set(SCHEMAS) == set(TRUE_SCHEMAS)


def test_every_channel_is_described_at_its_address() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert addresses == {
        f"{ROOT}/{{shard}}/{{edge}}/{channel.value}"
        for channel in set(Channel) - WITHOUT_PAYLOAD_OF_OURS
    }


@pytest.mark.parametrize("channel", sorted(set(Channel) - WITHOUT_PAYLOAD_OF_OURS))
def test_a_channel_has_its_message_direction_and_retention(channel: Channel) -> None:
    name = channel.value.replace("/", "_")
    described = DOCUMENT["channels"][name]
    decoded = codec.DECODERS[channel].__annotations__["return"]
    decoded = decoded if isinstance(decoded, str) else decoded.__name__
    assert list(described["messages"]) == [decoded]
    is_down = channel.value.startswith("down/")
    action = "send" if is_down else "receive"
    assert DOCUMENT["operations"][f"{action}_{name}"]["action"] == action
    assert described["bindings"]["mqtt"]["retain"] == (channel in RETAINED)
    message = DOCUMENT["components"]["messages"][decoded]
    assert message["contentType"].endswith("json" if channel is Channel.STATE else "msgpack")


def test_every_reference_points_somewhere() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "$ref":
                    target: Any = DOCUMENT
                    for part in value.removeprefix("#/").split("/"):
                        target = target[part]
                else:
                    walk(value)
        elif isinstance(node, list):
            for item in node:
                walk(item)

    walk(DOCUMENT)
