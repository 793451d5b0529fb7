"""Which nodes a pod may use, and which of them emits least: pure functions over the cached records."""
