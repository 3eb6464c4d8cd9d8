"""How long a wrong password costs, by who asks."""

import pytest

from cloud.people.model import Attempts
from cloud.people.throttle import ADDRESS, SHARED, after_failure, network_of, patience_with


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
def test_nobody_behind_a_local_proxy_is_locked_out_by_another(address: str) -> None:
    patience = patience_with(network_of(address))
    assert patience is SHARED
    counted = Attempts(0, 0, 0)
    for _ in range(1_000):
        counted = after_failure(counted, 1_000, patience)
    assert counted.blocked_until <= 1_000 + 5_000


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::1", "no address", ""])
def test_an_address_from_outside_waits_long(address: str) -> None:
    assert patience_with(network_of(address)) is ADDRESS
