"""All devices, edges and places in memory, for those who must not ask the database for each of them."""

from collections.abc import Mapping
from types import MappingProxyType

from cloud.devices import place_store, store
from cloud.devices.model import Device, Edge, LinkFact, Place, link_fact, place_names, position
from cloud.kit.sql import Connection


class Directory:
    """A snapshot that is replaced as a whole; empty until `refresh` was called."""

    def __init__(self) -> None:
        self.devices: Mapping[str, Device] = MappingProxyType({})
        self.edges: Mapping[str, Edge] = MappingProxyType({})
        self.places: Mapping[str, Place] = MappingProxyType({})
        self.version = 0

    def refresh(self, connection: Connection) -> None:
        """Read everything anew."""
        devices = store.devices(connection)
        edges = store.edges(connection)
        places = place_store.places(connection)
        self.devices, self.edges, self.places = devices, edges, places
        self.version += 1

    def names_of(self, path: str) -> tuple[str, str]:
        """Give the Chinese and English names of a place path."""
        return place_names(path, self.places)

    def position_of(self, device: Device) -> tuple[float | None, float | None]:
        """Give a device's site coordinates in metres, None when nobody drew it."""
        return position(device, self.places)

    def link_of(self, device: Device) -> LinkFact:
        """Give a device's link with its gateways and its edge in it."""
        return link_fact(device, self.devices, self.edges)
