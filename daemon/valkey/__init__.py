"""Speaking with Valkey and Redis: probing, both snapshot sources, and the primary's side."""
