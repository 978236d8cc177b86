"""The address that graft's own servers listen on, and that no other machine reaches."""

HOST = "127.0.0.1"
