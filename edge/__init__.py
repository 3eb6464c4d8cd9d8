"""Deployable 1: one process per gateway box. Reads devices, keeps everything on disk, acts, publishes."""
