"""What decides how a body looks on a picture, by name: for digests of pictures and results. Imports nothing."""

DRAWN_AS = 2
"""Raise it whenever pictures of the same bodies change, in `hmr/rendering` or here: stored ones are drawn again. Raise
`PROMPT_VERSION` in `critique/vlm/prompt.py` with it: a critic that sees other pictures must not continue old verdicts.
"""
LOOK = {"size", "opacity", "contour", "outline", "limbs", "antialias", "ground"}
"""Keys of [overlay] that change pictures."""
