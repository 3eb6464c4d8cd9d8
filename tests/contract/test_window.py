"""Both sides keep the same window: the cloud concludes from it what an edge must have had acknowledged."""

from cloud.ingest.lanes import SEND_WINDOW
from edge.lane_window import WINDOW


def test_the_edge_never_has_more_under_way_than_the_cloud_believes() -> None:
    assert WINDOW <= SEND_WINDOW
