"""How layers compute one of their numbers, as arithmetic that can be shown."""
