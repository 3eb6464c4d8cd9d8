"""What `make bench` runs: each figure beside a limit or a reference measured in the same run."""
