"""Lists the benchmarks, or runs those that are named: `python -m tests.bench [NAME...]`; `all` runs every one."""

import ast
import subprocess
import sys
from pathlib import Path


def benches() -> dict[str, str]:
    """Name -> first line of its docstring."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if not path.stem.startswith("_"):
            found[path.stem] = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]
    return found


def main(names: list[str]) -> int:
    """Each in a process of its own, one after another."""
    known = benches()
    unknown = [name for name in names if name not in known and name != "all"]
    if not names or unknown:
        for name in unknown:
            print(f"no benchmark is called {name!r}", file=sys.stderr)
        for name, text in known.items():
            print(f"{name:16} {text}")
        return 2 if unknown else 0
    status = 0
    for name in known if "all" in names else names:
        print(f"== {name}", flush=True)
        status = max(status, subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
