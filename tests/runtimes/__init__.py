"""That the client does no harm to the program that it lives in: each test runs a program, and looks at what is left."""
