"""Real TCP stacks and servers in network namespaces, captured, with what was done to them written down."""
