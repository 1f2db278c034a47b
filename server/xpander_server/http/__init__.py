"""HTTP layer around the application: protocol, dispatcher, bind address and concurrency."""
