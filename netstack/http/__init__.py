"""HTTP/1.0 and HTTP/1.1: engines of both sides, an origin server of files, a client."""
