"""A clock that tests move by hand."""


class FakeClock:
    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self.wall_ms = now_ms
        self.seconds = 100.0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_s(self) -> float:
        return self.seconds

    def pass_s(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall_ms += int(seconds * 1000)
