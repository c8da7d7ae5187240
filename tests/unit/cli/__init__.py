"""The command line, unit by unit."""
