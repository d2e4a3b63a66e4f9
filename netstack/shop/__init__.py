"""The shop of the chapter: an origin with cookies and a back-end database."""
