"""Makes docs/picture.svg (`make picture`): what a terminal shows when these commands run."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COMMANDS = (
    "netstack up --world small --detach",
    "netstack resolve gaia.cs.umass.edu --from cse.nyu.edu --cold --trace",
    "netstack exec cse.nyu.edu -- dig +short gaia.cs.umass.edu",
    "netstack exec cse.nyu.edu -- curl --silent --head https://gaia.cs.umass.edu/",
    "netstack down",
)
WIDTH = 100


def main() -> int:
    """Run the commands in a private place and write what they print beside this file."""
    console = Console(record=True, width=WIDTH, force_terminal=True, color_system="truecolor", highlight=False)
    with tempfile.TemporaryDirectory() as directory:
        launcher = Path(directory) / "bin" / "netstack"  # as pip makes it
        launcher.parent.mkdir()
        launcher.write_text(f"#!{sys.executable}\nimport sys\nfrom netstack.cli import main\nsys.exit(main())\n")
        launcher.chmod(0o755)
        surroundings = dict(os.environ) | {
            "PATH": f"{launcher.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
            "XDG_RUNTIME_DIR": directory,
            "XDG_STATE_HOME": f"{directory}/state",
            "FORCE_COLOR": "1",
            "COLUMNS": str(WIDTH),
        }
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            words = [str(launcher), *shlex.split(command)[1:]]
            done = subprocess.run(words, env=surroundings, capture_output=True, text=True, timeout=60)  # noqa: S603
            if done.returncode != 0:
                print(done.stdout + done.stderr, file=sys.stderr)  # noqa: T201
                return 1
            console.print(Text.from_ansi(done.stdout.rstrip()), soft_wrap=True)
            console.print()
    # Rich's template loads a font from elsewhere; the reader's own monospaced one will do.
    template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    target = Path(__file__).with_name("picture.svg")
    target.write_text(console.export_svg(title="netstack", code_format=template))
    return 0


if __name__ == "__main__":
    sys.exit(main())
