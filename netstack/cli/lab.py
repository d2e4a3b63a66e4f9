"""`netstack lab list` and `netstack lab run NAME ...`: the model's numbers beside the measured ones."""

import argparse
from pathlib import Path

from netstack.cli import render
from netstack.cli.errors import PASS, USAGE, CommandError


def run(options: argparse.Namespace) -> int:
    """0 when every claim holds, 1 when one does not, 2 when there was nothing to run."""
    from netstack.lab import registry, runner

    if options.action == "list":
        found = [{"lab": lab.name, "title": lab.title, "on": list(lab.substrates)} for lab in registry.labs()]
        if options.json:
            render.print_json({"labs": found})
        else:
            from rich.markup import escape

            out = render.console()
            wide = max(len(str(lab["lab"])) for lab in found)
            for lab in found:
                name = f"{lab['lab']!s:{wide}}"
                out.print(f"[bold]{name}[/]  {escape(str(lab['title']))}  [dim](on {', '.join(lab['on'])})[/]")
        return PASS
    results = []
    try:
        if options.plot:
            runner.plottable()
        for name in runner.names(options.labs, options.all, options.on):
            result = runner.run(name, options.on, options.seed, options.full)
            results.append(result)
            if not options.json:
                out = render.console()
                out.print(runner.table(result))
                if drawn := runner.notes(result):
                    out.print(f"\n{drawn}\n", markup=False, highlight=False, soft_wrap=True)
                for text in result.not_shown:
                    out.print(f"Not shown: {text}", markup=False)
        if options.plot:
            Path(options.plot).mkdir(parents=True, exist_ok=True)
            for result in results:
                runner.plot([result], Path(options.plot) / f"{result.lab}-{result.on}.svg")
    except registry.NoSuchLab as error:
        raise CommandError(str(error), USAGE, "usage") from None
    except (runner.NoPlots, OSError) as error:
        raise CommandError(str(error)) from None
    if options.json:
        found = [result.as_json() for result in results]
        render.print_json(found[0] if len(found) == 1 else found)
    return runner.exit_code(results)
