"""What the modules beside this one replace is MiniStack's own business: another version may have it elsewhere."""


def require(owner, *names: str) -> None:
    """Ends the program if `owner` lacks one of these."""
    for name in names:
        if not hasattr(owner, name):
            raise SystemExit(f"this MiniStack has no {owner.__name__}.{name}: adapt the testbed, or take the pinned version")
