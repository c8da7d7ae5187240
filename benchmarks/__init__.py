"""What `make bench` runs: each row of the budgets as a ratio of two things in one run."""
