"""Messages, templates, conversations and replies. Nothing here knows which backend runs."""

from __future__ import annotations

from .conversation import Conversation
from .messages import Message
from .options import ReplyOptions
from .reply import Reply, Usage
from .stream import Piece, Stream

__all__ = ["Conversation", "Message", "Piece", "Reply", "ReplyOptions", "Stream", "Usage"]
