"""People: users, sessions, API tokens, roles, and the record of what they did."""
