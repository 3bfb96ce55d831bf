"""What the server and the local page share: who may ask, how much, and how a server starts and ends."""
