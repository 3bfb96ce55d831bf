"""Engines that answer for a run: their files, and which of them is the fastest here."""
