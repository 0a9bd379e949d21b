"""What every program here begins with, as in ../programs/scene.mjs: where the servers are, and a line for each scene."""

import sys

ANSWERING = sys.argv[1]
ACTING = sys.argv[2] if len(sys.argv) > 2 else ANSWERING
QUESTION = "9.11 and 9.8, which is greater?"
MODEL = "deepseek-flash"


def scene(title, play):
    try:
        play()
    except BaseException:
        print(f"failed: {title}", file=sys.stderr)
        raise
    print(title, flush=True)


def report(city):
    return "sunny" if city == "Paris" else "rainy"
