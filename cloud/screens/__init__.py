"""Screens: the stream of changes to every open page, and what the pages say they have shown."""
