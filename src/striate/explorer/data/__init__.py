"""The data of a finished run on a page: a map of its items, mistakes, corrections, a second run."""
