"""All devices, edges and places in memory, for those who must not ask the database for each of them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloud.devices import place_store, store
from cloud.devices.model import (
    Device,
    DeviceInfo,
    Edge,
    LinkFact,
    Place,
    PlaceInfo,
    link_fact,
    place_names,
    position,
)
from cloud.kit.sql import Connection

ANSWERS_KEPT: Final = 200_000


class Directory:
    """A snapshot that is replaced as a whole; empty until `refresh` was called."""

    def __init__(self) -> None:
        self.devices: Mapping[str, Device] = MappingProxyType({})
        self.edges: Mapping[str, Edge] = MappingProxyType({})
        self.places: Mapping[str, Place] = MappingProxyType({})
        self.revision = 0
        self.edges_revision = 0
        self._first_edges: Mapping[str, str] = MappingProxyType({})
        self._answers: dict[str, DeviceInfo | None] = {}

    def refresh(self, connection: Connection) -> None:
        """Read everything anew."""
        self.devices = store.devices(connection)
        self.edges = store.edges(connection)
        self.places = place_store.places(connection)
        self.revision = place_store.revision(connection)
        self.edges_revision = store.edges_revision(connection)
        first: dict[str, str] = {}
        for device in self.devices.values():
            building = device.place.partition("/")[0]
            if building:
                first[building] = min(first.get(building, device.edge), device.edge)
        self._first_edges = first
        self._answers = {}

    def first_edge(self, place: str) -> str:
        """Give the first, by id, of the edge nodes with devices in the building of a place; empty when none has."""
        return self._first_edges.get(place.partition("/")[0], "")

    def device(self, device_id: str) -> DeviceInfo | None:
        """Give a device or an edge node, None when no birth names it."""
        answers = self._answers
        if device_id not in answers:
            if len(answers) >= ANSWERS_KEPT:
                answers.clear()
            answers[device_id] = self._make(device_id)
        return answers[device_id]

    def _make(self, device_id: str) -> DeviceInfo | None:
        device = self.devices.get(device_id)
        if device is None:
            edge = self.edges.get(device_id)
            return DeviceInfo(edge.id, "edge", edge.name, edge.id) if edge is not None else None
        zh, en = place_names(device.place, self.places)
        x, y = position(device, self.places)
        return DeviceInfo(
            id=device.id,
            kind=device.kind,
            name=device.name,
            edge=device.edge,
            gateway=device.gateway,
            place=device.place,
            place_name_zh=zh,
            place_name_en=en,
            x=x,
            y=y,
            period_s=device.period_s,
        )

    def place(self, path: str) -> PlaceInfo | None:
        """Give a place by its path, None when the site file does not name it."""
        if path not in self.places:
            return None
        zh, en = place_names(path, self.places)
        building = self.places.get(path.split("/", 1)[0])
        x, y = (building.x, building.y) if building is not None else (None, None)
        return PlaceInfo(path, zh, en, x, y)

    def link_of(self, device: Device) -> LinkFact:
        """Give a device's link with its gateways and its edge in it."""
        return link_fact(device, self.devices, self.edges)
