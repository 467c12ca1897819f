"""A session on a model whose tokenizer is a tokenizer.json: its words, its template, the tokens that end a reply."""

from __future__ import annotations

from collections.abc import Mapping

from .tokenwise import TokenwiseSession
from .vocabulary import Vocabulary


class FolderSession(TokenwiseSession):
    """What `TokenwiseSession` asks of a runtime about text, answered from the model's folder."""

    vocabulary: Vocabulary

    @property
    def chat_template(self) -> str | None:
        """The Jinja source in the folder, or None."""
        self._require_open()
        return self.vocabulary.chat_template

    def special_tokens(self) -> Mapping[str, str]:
        """`bos_token` and `eos_token` as text."""
        self._require_open()
        return self.vocabulary.special_tokens()

    def markers(self) -> frozenset[str]:
        """Texts that are one control token."""
        self._require_open()
        return self.vocabulary.markers

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of `text`, without BOS."""
        self._require_open()
        return self.vocabulary.tokenize(text, special=special)

    def _piece(self, token: int) -> bytes:
        return self.vocabulary.piece(token)

    def _ends_generation(self, token: int) -> bool:
        return self.vocabulary.ends_generation(token)
