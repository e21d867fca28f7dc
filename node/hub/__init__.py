"""The hub: one service per verb, each a thin shell around the pure market."""
