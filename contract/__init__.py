"""What crosses the wire between edge and cloud: topics, structures, names and units. Pure."""
