"""A distributed hash table on a circle of identifiers: Chord, with the chapter's successors and shortcuts."""
