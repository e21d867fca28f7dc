"""The world of a scenario: what is plugged in where, what happens to it, what meters see, and the twins beside it."""
