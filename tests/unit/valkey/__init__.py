"""The Valkey side, piece by piece."""
