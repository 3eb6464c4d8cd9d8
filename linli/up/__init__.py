"""`linli up`: the whole demonstration community on this machine."""
