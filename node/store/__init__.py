"""The hub's database: the truth about orders, a projection of the chain about money."""
