"""Every benchmark there is, one after the other: ``python -m benchmarks``."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# A process each: loading the plugin, or redacting logs, is not to change what others measure.
for name in ("core", "journal", "retry", "http", "logs", "page", "exits"):
    if (HERE / f"{name}.py").is_file():
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=HERE.parent, check=True)
