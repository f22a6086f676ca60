"""The local engine on a GPU: is it right there, and how near does it come to the hardware?

    python tests/gpu/check_engine.py --out figures.json

Needs torch, transformers, Triton and this repository (`pip install -e '.[local]'`), no network: all
models are random. A part that fails is reported, and the next one runs. `--device cpu --size tiny`
tries the script itself.
"""

import argparse
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from time import perf_counter

import anyio
import torch
import transformers
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).parents[1]))

from gpu_equality import check_equality
from gpu_loop import check_loop
from gpu_models import SIZES, Bench
from gpu_speed import check_contexts, check_steps, check_theirs
from gpu_targets import derive, judged

PARTS: dict[str, Callable[[Bench], Awaitable[dict[str, object]]]] = {
    "equality": check_equality,
    "steps": check_steps,
    "contexts": check_contexts,
    "theirs": check_theirs,
    "loop": check_loop,
}


def main() -> int:
    """Run the parts; return 1 if one failed or was wrong, or a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=SIZES, default="1.7b")
    parser.add_argument("--big", choices=[*SIZES, "none"], default=None)
    parser.add_argument("--context", type=int, default=None, help="tokens of a text")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--budget-s", type=float, default=460.0, help="parts begin before it ends")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    device = torch.device(given.device)
    is_cuda = device.type == "cuda"
    big = given.big or ("8b" if is_cuda else "none")
    bench = Bench(
        device=device,
        size=given.size,
        big="" if big == "none" else big,
        context=given.context or (2_048 if is_cuda else 64),
        steps=64 if is_cuda else 8,
    )
    figures: dict[str, object] = {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name(device) if is_cuda else "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    started, failed = perf_counter(), False
    for name in given.only:
        spent = perf_counter() - started
        if spent > given.budget_s:
            figures[f"{name}.skipped"] = f"{spent:.0f} s are spent"
            failed = True
            continue
        try:
            found = anyio.run(PARTS[name], bench)
        except BaseException as error:  # noqa: BLE001  # told, and the next part runs
            traceback.print_exc()
            found = {"error": repr(error)}
        figures |= {f"{name}.{what}": value for what, value in found.items()}
        figures[f"{name}.seconds"] = perf_counter() - started - spent
        figures |= derive(figures)
        failed = failed or any(_is_bad(what, value) for what, value in found.items())
        if given.out:
            given.out.write_text(json.dumps(figures, indent=2) + "\n")
    _show(figures)
    return int((is_cuda and _judge(figures, given.only) > 0) or failed)


def _is_bad(name: str, value: object) -> bool:
    if name.endswith("error"):
        return True
    if isinstance(value, bool):
        return not value
    return ".margin." in name and isinstance(value, float) and value > 1


def _show(figures: dict[str, object]) -> None:
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    Console(width=120).print(table)


def _judge(figures: dict[str, object], parts: list[str]) -> int:
    targets = Table("target", "bound", "measured", "")
    missed = judged(figures, parts, targets.add_row)
    Console(width=120).print(targets)
    return missed


if __name__ == "__main__":
    sys.exit(main())
