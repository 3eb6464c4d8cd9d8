"""The revisions, oldest first by their number; never changed once released."""
