"""The demonstration's parts: each does one thing as a person would, and expects what they were promised."""
