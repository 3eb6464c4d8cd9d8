"""The directory as alerting asks for it."""

from cloud.alerts.model import DeviceInfo, PlaceInfo
from cloud.devices.directory import Directory


class AlertDirectory:
    """Answers from the directory's present snapshot; remembers answers until it is replaced."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._version = -1
        self._devices: dict[str, DeviceInfo | None] = {}

    def device(self, device_id: str) -> DeviceInfo | None:
        """Give a device, None when no birth names it."""
        if self._version != self._directory.version:
            self._devices.clear()
            self._version = self._directory.version
        if device_id not in self._devices:
            if len(self._devices) > 2 * len(self._directory.devices) + 1_000:
                self._devices.clear()
            self._devices[device_id] = self._make(device_id)
        return self._devices[device_id]

    def _make(self, device_id: str) -> DeviceInfo | None:
        device = self._directory.devices.get(device_id)
        if device is None:
            return self._edge(device_id)
        zh, en = self._directory.names_of(device.place)
        x, y = self._directory.position_of(device)
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

    def _edge(self, edge_id: str) -> DeviceInfo | None:
        edge = self._directory.edges.get(edge_id)
        return DeviceInfo(edge.id, "edge", edge.name, edge=edge.id) if edge is not None else None

    def place(self, path: str) -> PlaceInfo | None:
        """Give a place by its path, None when the site file does not name it."""
        place = self._directory.places.get(path)
        if place is None:
            return None
        zh, en = self._directory.names_of(path)
        building = self._directory.places.get(path.split("/", 1)[0])
        x, y = (building.x, building.y) if building is not None else (None, None)
        return PlaceInfo(path, zh, en, x, y)
