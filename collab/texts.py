"""Small questions about text that several parts ask."""

import re

_CREDENTIALS = re.compile(r"(^|//|['\"])[^/@\s'\"]+@")
_QUERY = re.compile(r"(https?://[^\s?#'\"]*)([?#])[^\s'\"]*")


def is_unicode(text: str) -> bool:
    """Whether `text` has no half characters: those cannot be encoded or shown to a model."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def without_credentials(text: str) -> str:
    """Return a text whose URLs hold nothing but scheme, host and path: the rest may be secret."""
    return _QUERY.sub(r"\1\2***", _CREDENTIALS.sub(r"\1***@", text))


def shortened(text: str, most: int) -> str:
    """Return the first `most` characters of a text, saying so where it goes on."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters)"


def how_to_install(extra: str) -> str:
    """Return how an extra of this package is installed, which is on no package index yet."""
    return (
        f"install the extra `{extra}` of collab-reasoning: pip install -e '.[{extra}]' in its clone"
    )
