"""Decisions, rule by rule."""
