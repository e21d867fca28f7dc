"""Measured tables that the models stand on, each with its source and licence."""
