"""The socket API, unit by unit."""
