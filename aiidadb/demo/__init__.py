"""What only the demo, the tests and the benchmarks use: generated databases, a private server."""
