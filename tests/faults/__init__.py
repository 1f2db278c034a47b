"""What goes wrong between a caller and a backend, on real sockets of the loopback."""
