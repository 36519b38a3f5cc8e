"""What is called: interfaces, promises, proxies, and how they travel."""
