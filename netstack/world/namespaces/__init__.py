"""Each host in network, mount and host-name namespaces of its own: standard ports, own resolv.conf, for any user."""
