"""The Web cache: RFC 9111 as pure rules, a store, and the proxy that applies the one to the other."""
