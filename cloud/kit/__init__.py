"""Adapters: each outside library the cloud uses has its one door here."""
