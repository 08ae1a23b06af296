"""Pages of a store: `dragoman serve STORE`. Needs the extra `web`."""
