"""Deployable 3: devices in software that speak the real wire protocols; a second witness of every format."""
