"""What leaves the cloud: the journal that screens follow, and the outbox of messages."""
