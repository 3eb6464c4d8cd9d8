"""Time series: every reading, its newest value, hourly roll-ups, and the marks of the lanes that brought them."""
