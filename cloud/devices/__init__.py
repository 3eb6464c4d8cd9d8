"""Places, edge nodes and devices: what stands where, speaks through whom, and how lately."""
