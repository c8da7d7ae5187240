"""Tests of what stores and reads back."""
