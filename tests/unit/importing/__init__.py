"""What an import is taken for."""
