"""What we do: commands and decisions, the ledger, actors, Valkey, storage, API, command line."""
