"""The server of finished runs: `striate serve`."""
