"""The HTTP door for participants, auditors and the page: reads the store, hands signed orders to the hub."""
