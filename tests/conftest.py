"""What holds for every test: seeded examples, and no verdict from a clock on a shared machine."""

from hypothesis import HealthCheck, settings

# A deadline measures the neighbours on a shared machine, not the code; the same examples make a failure a fact.
settings.register_profile(
    "linli",
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)
settings.load_profile("linli")
