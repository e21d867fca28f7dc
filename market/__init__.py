"""Who trades what, at which price: pure functions over integers and arrays."""
