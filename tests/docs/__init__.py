"""The documentation's own: reference pages made of the program, and tests of every page."""
