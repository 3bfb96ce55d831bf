"""A local page in which people walk through a network with an item of their own."""
