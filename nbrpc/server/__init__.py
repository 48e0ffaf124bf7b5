"""The side that serves: listening, letting clients in, and running what they ask for."""
