"""What runs: controller, agents, hub, bus, chain, store and API."""
