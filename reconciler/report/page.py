"""A text of limited length, made of pieces that are in it whole or not at all."""

from __future__ import annotations


class LimitedText:
    """Collects pieces as long as there is room.

    Attributes:
        left: Room, in UTF-16 units, which is how the strictest forge counts.
    """

    def __init__(self, limit: int) -> None:
        """Takes the most UTF-16 units that the text may have."""
        self.left = limit
        self._pieces: list[str] = []

    def add(self, piece: str, *, reserved: int = 0) -> bool:
        """Adds ``piece`` and says so, or does nothing where less than ``reserved`` would be left."""
        size = len(piece.encode("utf-16-le")) // 2
        if size + reserved > self.left:
            return False
        self.left -= size
        self._pieces.append(piece)
        return True

    def __str__(self) -> str:
        return "".join(self._pieces)
