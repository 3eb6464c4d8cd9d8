"""Alerts: from what devices say to what people must do, and to its end."""
