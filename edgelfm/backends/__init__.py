"""Given a prompt and a sampling preset, produce tokens. One room per runtime; none knows about messages or tools."""
