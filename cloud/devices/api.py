"""Routes of devices, places, edges and metrics."""

from typing import Annotated, Final, cast

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from cloud.devices import service
from cloud.devices.model import Liveness
from cloud.devices.service import DeviceService
from cloud.devices.view import (
    DeviceDetail,
    DeviceList,
    EdgeList,
    MetricList,
    PlaceList,
    SeriesView,
)
from cloud.kit.web import ERRORS
from cloud.people.permission import Admin, AnyRole

TIME_LIMIT: Final = 1 << 53

router: Final = APIRouter(prefix="/api", tags=["devices"], responses=ERRORS)


def _devices(request: Request) -> DeviceService:
    return cast("DeviceService", request.app.state.devices)


Devices = Annotated[DeviceService, Depends(_devices)]
Id = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")]
Time = Annotated[int, Query(ge=0, le=TIME_LIMIT, description="Unix ms")]


@router.get("/devices", operation_id="listDevices")
def list_devices(
    _principal: AnyRole,
    devices: Devices,
    kind: Annotated[str | None, Query(max_length=64)] = None,
    q: Annotated[str | None, Query(max_length=100, description="Words of id, name, place.")] = None,
    liveness: Liveness | None = None,
    before: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> DeviceList:
    """List devices by id with their three facts; retired ones are left out."""
    return devices.search(kind=kind, text=q, state=liveness, before=before, limit=limit)


@router.get("/devices/{device_id}", operation_id="getDevice")
def get_device(device_id: Id, _principal: AnyRole, devices: Devices) -> DeviceDetail:
    """Show one device with its newest values and open alerts."""
    return devices.get(device_id)


@router.get("/devices/{device_id}/series", operation_id="getSeries")
def get_series(
    device_id: Id,
    _principal: AnyRole,
    devices: Devices,
    metric: Annotated[str, Query(min_length=1, max_length=64)],
    start: Time,
    end: Time,
    points: Annotated[int, Query(ge=1, le=5_000)] = 500,
) -> SeriesView:
    """Give a chart of one metric in [start, end), as measured or in at most `points` buckets."""
    return devices.series(device_id, metric, start=start, end=end, points=points)


@router.get("/places", operation_id="listPlaces")
def list_places(_principal: AnyRole, devices: Devices) -> PlaceList:
    """Give the community and its places."""
    return devices.places()


@router.get("/edges", operation_id="listEdges")
def list_edges(_principal: AnyRole, devices: Devices) -> EdgeList:
    """List edge nodes."""
    return devices.edges()


@router.delete("/edges/{edge_id}", operation_id="retireEdge", status_code=204)
def retire_edge(edge_id: Id, _principal: Admin, devices: Devices) -> Response:
    """Release an edge that is gone for good, so that its devices may belong to another; 409 while it is online."""
    devices.retire_edge(edge_id)
    return Response(status_code=204)


@router.get("/metrics", operation_id="listMetrics")
def list_metrics(_principal: AnyRole) -> MetricList:
    """Give names, units and decimals of all metrics."""
    return service.metrics()
