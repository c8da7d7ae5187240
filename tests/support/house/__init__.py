"""The house rules, as functions that read code and name what breaks them."""
