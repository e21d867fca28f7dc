"""Messages between agents, hub, controller and devices, and the buses that carry them."""
