"""The benchmark harness: proxies side by side on the same work. `bench/run --help` is the place to begin."""
