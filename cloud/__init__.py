"""Deployable 2: the service. An API process and ingest workers over the same stores."""
