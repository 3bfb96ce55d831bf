"""From files, folders and arrays to checked, split and decoded items."""
