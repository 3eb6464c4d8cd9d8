"""The command line: starts the others, holds no logic."""
