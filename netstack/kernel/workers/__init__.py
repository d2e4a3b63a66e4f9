"""One service in several processes that share its ports (SO_REUSEPORT): the parent, the workers, and what they say."""
