"""Ingest: what edge nodes publish is judged, ruled, stored, and only then acknowledged."""
