"""Tests of what happened: codec, chain, the log's file."""
