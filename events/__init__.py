"""What happened: event types, their envelope, the hash chain and the log that keeps them."""
