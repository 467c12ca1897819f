"""Messages, templates, conversations and replies. Nothing here knows which backend runs."""
