"""The server as who runs it sees it: processes, keys, the door."""
