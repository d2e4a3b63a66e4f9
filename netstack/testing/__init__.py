"""What tests of netstack and of its users stand on: the pytest plugin and its helpers."""
