"""The control socket of a process that runs hosts: `paths` (its place), `server` (its protocol), `verbs` (what to ask)."""
