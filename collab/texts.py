"""Small questions about text that several parts ask."""


def is_unicode(text: str) -> bool:
    """Whether `text` has no half characters: those cannot be encoded or shown to a model."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
