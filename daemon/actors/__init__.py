"""Actors do what the state says is outstanding and report to the ledger; none knows another."""
