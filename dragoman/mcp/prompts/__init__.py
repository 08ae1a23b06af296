"""What a client's user can start with, as templates."""
