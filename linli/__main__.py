"""Entry point of the `linli` command."""
