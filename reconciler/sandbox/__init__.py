"""A local server with the appliance's API, for trying and for tests."""
