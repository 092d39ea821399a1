"""Our own two themes: forward is blue, backward is amber, in the dark and in the light."""

from textual.theme import BUILTIN_THEMES, Theme

DARK = Theme(
    name="backprop-dark",
    primary="#5fa8f5",
    secondary="#b48ead",
    accent="#f0a04b",
    warning="#f0a04b",
    error="#f06a7a",
    success="#7fcf8f",
    foreground="#d8dee9",
    background="#11151c",
    surface="#171d26",
    panel="#28313f",
    dark=True,
)

LIGHT = Theme(
    name="backprop-light",
    primary="#1f63b5",
    secondary="#7a4a80",
    accent="#b45f06",
    warning="#b45f06",
    error="#b3203a",
    success="#23753a",
    foreground="#20262e",
    background="#fbfaf7",
    surface="#f2f0ea",
    panel="#d9d6cc",
    dark=False,
)


def find_theme(name: str) -> str:
    """The theme that is meant: `dark` is our own backprop-dark.

    Raises LookupError, which names the known ones.
    """
    known = [DARK.name, LIGHT.name, *sorted(BUILTIN_THEMES)]
    for theme in (name, f"backprop-{name}"):
        if theme in known:
            return theme
    raise LookupError(f"there is no theme “{name}”: known: {', '.join(known)}")
